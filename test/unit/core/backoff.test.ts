import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { exponential, type RetryOptions, retryPolicy } from '../../../src/core/backoff.ts';
import { parseDuration } from '../../../src/core/duration.ts';
import { ConfigurationError } from '../../../src/core/errors.ts';

/** What a policy asks for after its failed attempts 1 … count. */
function waitsOf(options: RetryOptions | undefined, count: number): number[] {
  const policy = retryPolicy(options);
  return Array.from({ length: count }, (_, index) => policy.wait(index + 1, new Error('no')));
}

const ms = (...texts: string[]) => texts.map((text) => parseDuration(text));

describe('the default', () => {
  it('is twelve attempts, waiting 3 s, 30 s, 5 m, 50 m, 8 h 20 m and then a day each', () => {
    expect(retryPolicy().attempts).toBe(12);
    const days = Array<string>(6).fill('1d');
    expect(waitsOf(undefined, 11)).toEqual(ms('3s', '30s', '5m', '50m', '8h20m', ...days));
  });

  it('asks for these six queues and no other', () => {
    expect(retryPolicy().delays).toEqual(ms('3s', '30s', '5m', '50m', '8h20m', '1d'));
  });

  it('retries whatever was thrown', () => {
    expect(retryPolicy().isFinal(new TypeError('no'))).toBe(false);
  });
});

describe('exponential', () => {
  it('ends at max, and never exceeds it', () => {
    const backoff = exponential({ first: '1s', factor: 2, max: '5s' });
    expect(waitsOf({ backoff }, 5)).toEqual(ms('1s', '2s', '4s', '5s', '5s'));
  });

  it('has no rung for attempts that there are not', () => {
    const backoff = exponential({ first: '3s', factor: 10, max: '24h' });
    expect(retryPolicy({ attempts: 3, backoff }).delays).toEqual(ms('3s', '30s'));
    expect(retryPolicy({ attempts: 2, backoff }).delays).toEqual(ms('3s'));
  });

  it('leaves a job of one attempt one rung, to wait on after a crash or for a snooze', () => {
    expect(retryPolicy({ attempts: 1 }).delays).toEqual(ms('3s'));
  });

  it('rounds up to whole seconds, so that names stay short and nothing comes back early', () => {
    const backoff = exponential({ first: '1s', factor: 1.5, max: '1m' });
    expect(waitsOf({ backoff }, 5)).toEqual(ms('1s', '2s', '3s', '4s', '6s'));
  });

  it('keeps first and max as they were said, and what is below a second to the ms', () => {
    const backoff = exponential({ first: '150ms', factor: 3, max: '1500ms' });
    expect(waitsOf({ backoff }, 5)).toEqual([150, 450, 1500, 1500, 1500]);
  });

  it('does not take a floating-point speck for another second', () => {
    expect(waitsOf({ backoff: exponential({ first: '50s', factor: 1.1, max: '1h' }) }, 2)).toEqual(
      ms('50s', '55s'),
    );
  });

  it('waits the same each time with factor 1, and max where first is above it', () => {
    expect(waitsOf({ backoff: exponential({ first: '7s', factor: 1, max: '1h' }) }, 3)).toEqual(
      ms('7s', '7s', '7s'),
    );
    expect(waitsOf({ backoff: exponential({ first: '1h', factor: 2, max: '7s' }) }, 2)).toEqual(
      ms('7s', '7s'),
    );
  });

  it('never shrinks, is never early, never above max, and asks only for its rungs', () => {
    const length = fc.integer({ min: 1, max: 1_000_000_000 });
    const factor = fc.double({ min: 1, max: 1000, noNaN: true });
    fc.assert(
      fc.property(length, factor, length, fc.integer({ min: 1, max: 15 }), (first, factor, max, attempts) => {
        const options = { attempts, backoff: exponential({ first, factor, max }) };
        const { delays } = retryPolicy(options);
        const waits = waitsOf(options, attempts + 3);
        waits.slice(0, attempts - 1).forEach((wait, index) => {
          expect(wait).toBeGreaterThanOrEqual(waits[index - 1] ?? 1);
          expect(wait + 0.001).toBeGreaterThanOrEqual(Math.min(first * factor ** index, max));
          expect(wait).toBeLessThanOrEqual(max);
        });
        for (const wait of waits) expect(delays).toContain(wait);
      }),
    );
  });
});

describe('a list', () => {
  it('is taken in order; its last wait repeats', () => {
    expect(waitsOf({ backoff: ['300ms', '1s', '2s'] }, 5)).toEqual([300, 1000, 2000, 2000, 2000]);
  });

  it('may fall', () => {
    expect(waitsOf({ backoff: ['1m', '1s'] }, 2)).toEqual(ms('1m', '1s'));
  });

  it('never asks for a wait beyond its attempts, for which there is no queue', () => {
    const policy = retryPolicy({ attempts: 2, backoff: ['1s', '5s', '1m'] });
    expect(policy.delays).toEqual([1000]);
    expect(policy.wait(3, undefined)).toBe(1000);
  });
});

describe('a function', () => {
  const options: RetryOptions = {
    backoff: (attempt, error) => (error instanceof RangeError ? '5m' : attempt * 1000),
    delays: ['1s', '5m'],
  };

  it('gets the attempt and the error', () => {
    expect(retryPolicy(options).wait(2, new Error())).toBe(2000);
    expect(retryPolicy(options).wait(2, new RangeError())).toBe(300_000);
  });

  it('needs the delays it may choose from', () => {
    expect(retryPolicy(options).delays).toEqual([1000, 300_000]);
    expect(() => retryPolicy({ backoff: () => '1s' }, 'job Mail')).toThrow(/^job Mail: .*needs 'delays'/);
  });

  it.each(['soon', -1, Number.NaN, null, undefined, Promise.resolve('1s')])(
    'fails when it returns %p',
    (value) => {
      const policy = retryPolicy({ backoff: () => value as never, delays: ['1s'] }, 'job Mail');
      expect(() => policy.wait(1, undefined)).toThrow(
        /^job Mail: what its back-off returned: .* is no duration/,
      );
    },
  );
});

describe('further delays', () => {
  it('stand beside those of the back-off', () => {
    expect(retryPolicy({ attempts: 2, delays: ['1m', '2m'] }).delays).toEqual(ms('3s', '1m', '2m'));
  });
});

describe('unless', () => {
  class Declined extends Error {}
  class LostCard extends Declined {}
  const isFinal = (unless: unknown, error: unknown) =>
    retryPolicy({ unless: unless as never }).isFinal(error);

  it('takes classes, their heirs included', () => {
    expect(isFinal([Declined, RangeError], new LostCard())).toBe(true);
    expect(isFinal([Declined, RangeError], new Error())).toBe(false);
    expect(isFinal([], new Error())).toBe(false);
  });

  it('takes a function', () => {
    const byCode = (error: unknown) => (error as { code?: number }).code === 4;
    expect(isFinal(byCode, { code: 4 })).toBe(true);
    expect(isFinal(byCode, { code: 5 })).toBe(false);
  });

  it('takes one class alone, which as a function would say yes to everything', () => {
    expect(isFinal(TypeError, new TypeError())).toBe(true);
    expect(isFinal(TypeError, new Error())).toBe(false);
    expect(isFinal(Declined, new LostCard())).toBe(true);
  });

  it('does not take a promise for yes', () => {
    const policy = retryPolicy({ unless: (async () => false) as never }, 'job Mail');
    expect(() => policy.isFinal(new Error())).toThrow('job Mail: unless must return true or false at once');
  });
});

describe('options that cannot be', () => {
  it.each<[string, unknown]>([
    ['null', null],
    ['a number', 5],
    ['text', 'often'],
    ['a misspelt option', { attemps: 3 }],
    ['no attempts', { attempts: 0 }],
    ['half an attempt', { attempts: 1.5 }],
    ['attempts as text', { attempts: '3' }],
    ['too many attempts', { attempts: 1001 }],
    ['endless attempts', { attempts: Number.POSITIVE_INFINITY }],
    ['an empty list', { backoff: [] }],
    ['a list with a wait that is none', { backoff: ['1s', '0s'] }],
    ['a list with nonsense', { backoff: ['1s', 'later'] }],
    ['a back-off of null', { backoff: 'exponential' }],
    ['a factor below 1', { backoff: { first: '1s', factor: 0.5, max: '1h' } }],
    ['no factor', { backoff: { first: '1s', max: '1h' } }],
    ['a factor that is no number', { backoff: { first: '1s', factor: Number.NaN, max: '1h' } }],
    ['no first', { backoff: { factor: 2, max: '1h' } }],
    ['a first of nothing', { backoff: { first: 0, factor: 2, max: '1h' } }],
    ['no max', { backoff: { first: '1s', factor: 2 } }],
    ['delays that are no list', { delays: '5m' }],
    ['a delay of nothing', { delays: [0] }],
    ['a delay longer than the broker can keep', { delays: ['3651d'] }],
    ['unless that is text', { unless: 'TypeError' }],
    ['unless with text in its list', { unless: ['TypeError'] }],
    ['unless with an arrow function in its list', { unless: [() => true] }],
  ])('%s: a ConfigurationError that names the job', (_, options) => {
    expect(() => retryPolicy(options as RetryOptions, 'job Mail')).toThrow(ConfigurationError);
    expect(() => retryPolicy(options as RetryOptions, 'job Mail')).toThrow(/^job Mail: /);
  });
});
