import { describe, expect, it } from '@jest/globals';
import { type RetryOptions, retryPolicy } from '../../../src/core/backoff.ts';
import { ConfigurationError, JobCrashedError } from '../../../src/core/errors.ts';
import { dead, decide, isControl, type RunResult, snooze } from '../../../src/core/outcome.ts';

const threw = (error: unknown): RunResult => ({ kind: 'threw', error });
const outcomeOf = (result: RunResult, attempt = 1, options: RetryOptions = {}) =>
  decide(result, attempt, retryPolicy(options));

describe('a run that returned', () => {
  it.each([undefined, null, 0, false, '', 'dead', {}, { kind: 'dead' }, []])('with %p is done', (value) => {
    expect(outcomeOf({ kind: 'returned', value })).toEqual({ kind: 'done' });
  });

  it('with dead(why) is dead with that sentence', () => {
    expect(outcomeOf({ kind: 'returned', value: dead('order is gone') })).toEqual({
      kind: 'dead',
      reason: 'dead-by-job',
      error: { name: 'Dead', message: 'order is gone' },
    });
  });

  it('with snooze waits that long and keeps its attempt', () => {
    expect(outcomeOf({ kind: 'returned', value: snooze('1m') }, 5)).toEqual({
      kind: 'snooze',
      waitMs: 60_000,
    });
  });

  it('is not refused its snooze on its last attempt', () => {
    expect(outcomeOf({ kind: 'returned', value: snooze(5) }, 12)).toEqual({ kind: 'snooze', waitMs: 5 });
  });

  it('with an error as its value is done: only a throw is a failure', () => {
    expect(outcomeOf({ kind: 'returned', value: new Error('no') })).toEqual({ kind: 'done' });
  });
});

describe('a run that threw', () => {
  it('is tried again as the next attempt', () => {
    const outcome = outcomeOf(threw(new RangeError('full')), 2);
    expect(outcome).toMatchObject({
      kind: 'retry',
      waitMs: 30_000,
      attempt: 3,
      error: { name: 'RangeError', message: 'full' },
    });
  });

  it('is dead after its last attempt', () => {
    const outcome = outcomeOf(threw(new Error('full')), 3, { attempts: 3 });
    expect(outcome).toMatchObject({ kind: 'dead', reason: 'attempts-exhausted', error: { message: 'full' } });
  });

  it('is dead when a forged header says it has run more often than it may', () => {
    expect(outcomeOf(threw(new Error('full')), 1000)).toMatchObject({
      kind: 'dead',
      reason: 'attempts-exhausted',
    });
  });

  it('is dead at once with an error that no retry can mend', () => {
    expect(outcomeOf(threw(new TypeError('no')), 1, { unless: [TypeError] })).toMatchObject({
      kind: 'dead',
      reason: 'dead-by-job',
    });
  });

  it.each([undefined, null, 'text', 7, Symbol('s'), Object.create(null), () => {}])(
    '%p is a failure too',
    (thrown) => {
      expect(outcomeOf(threw(thrown))).toMatchObject({ kind: 'retry', waitMs: 3000, attempt: 2 });
    },
  );
});

describe('a run that ran out of time', () => {
  it('is a failed attempt', () => {
    const error = new Error('took longer than 30s');
    expect(outcomeOf({ kind: 'timed-out', error })).toMatchObject({
      kind: 'retry',
      attempt: 2,
      error: { message: error.message },
    });
    expect(outcomeOf({ kind: 'timed-out', error }, 12)).toMatchObject({
      kind: 'dead',
      reason: 'attempts-exhausted',
    });
  });
});

describe('a run that drain took back', () => {
  it('spends no attempt, not even its last', () => {
    expect(outcomeOf({ kind: 'released' }, 12)).toEqual({ kind: 'release' });
  });
});

describe('a policy that fails itself', () => {
  it('does not decide a job’s fate: it waits as long as it ever may, and the error says so', () => {
    const backoff = () => {
      throw new Error('typo');
    };
    expect(outcomeOf(threw(new Error('full')), 1, { backoff, delays: ['1s', '5m', '2s'] })).toMatchObject({
      kind: 'retry',
      waitMs: 300_000,
      attempt: 2,
      error: { message: 'full (and the retry policy threw: typo)' },
    });
  });

  it('is not taken for a final error', () => {
    const unless = () => {
      throw new Error('typo');
    };
    expect(outcomeOf(threw(new Error('full')), 1, { unless })).toMatchObject({
      kind: 'retry',
      waitMs: 3000,
      error: { message: 'full (and the retry policy threw: typo)' },
    });
  });

  it('does not keep a job alive beyond its attempts', () => {
    const unless = () => {
      throw new Error('typo');
    };
    expect(outcomeOf(threw(new Error('full')), 12, { unless })).toMatchObject({
      kind: 'dead',
      reason: 'attempts-exhausted',
    });
  });
});

describe('what perform may return', () => {
  it('is told from every other value', () => {
    expect(isControl(dead('x'))).toBe(true);
    expect(isControl(snooze(1))).toBe(true);
    expect([undefined, null, 'x', {}, [], () => {}].some(isControl)).toBe(false);
  });

  it('refuses a snooze that is no duration, which fails the attempt', () => {
    expect(() => snooze('soon')).toThrow(ConfigurationError);
  });

  it('takes any reason as text', () => {
    expect(dead(undefined as never)).toEqual(dead('undefined'));
  });
});

describe('a run that took its process down', () => {
  const error = new JobCrashedError('its process ended with SIGKILL', {
    exitCode: null,
    signal: 'SIGKILL',
    stderr: 'last words',
  });
  const crashed = (crashes: number, most = 3): RunResult => ({ kind: 'crashed', error, crashes, most });

  it('keeps its attempt, is marked, and waits as after that many failures', () => {
    expect(outcomeOf(crashed(0), 5)).toMatchObject({ kind: 'retry', attempt: 5, crashes: 1, waitMs: 3_000 });
    expect(outcomeOf(crashed(1), 5)).toMatchObject({ kind: 'retry', attempt: 5, crashes: 2, waitMs: 30_000 });
  });

  it('is parked at its last crash, whatever attempts it has left', () => {
    expect(outcomeOf(crashed(2), 1)).toMatchObject({
      kind: 'dead',
      reason: 'crashed',
      crashes: 3,
      error: { name: 'JobCrashedError', stack: expect.stringContaining('last words') },
    });
    expect(outcomeOf(crashed(0, 1), 1)).toMatchObject({ kind: 'dead', crashes: 1 });
  });

  it('is no final error, and none too many, at its last attempt', () => {
    const policy = { attempts: 2, backoff: ['1s', '2s'], unless: () => true };
    expect(outcomeOf(crashed(0), 2, policy)).toMatchObject({
      kind: 'retry',
      attempt: 2,
      crashes: 1,
      waitMs: 1_000,
    });
  });

  it('asks a policy only for waits that its attempts can have', () => {
    const asked: number[] = [];
    const backoff = (attempt: number) => {
      asked.push(attempt);
      return '1s';
    };
    outcomeOf(crashed(7, 10), 1, { attempts: 3, backoff, delays: ['1s'] });
    outcomeOf(crashed(7, 10), 1, { attempts: 1, backoff, delays: ['1s'] });
    expect(asked).toEqual([2, 1]);
  });

  it('waits the longest where the policy throws', () => {
    const backoff = () => {
      throw new Error('broken');
    };
    const outcome = outcomeOf(crashed(0), 1, { backoff, delays: ['1s', '5s'] });
    expect(outcome).toMatchObject({ waitMs: 5_000, error: { message: expect.stringContaining('broken') } });
  });
});
