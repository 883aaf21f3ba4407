import { describe, expect, it } from '@jest/globals';
import type { Delivery } from '../../../src/broker/broker.ts';
import { register } from '../../../src/core/registry.ts';
import { Job, type JobClass, type JobContext, type JobLog } from '../../../src/job.ts';
import { Attempt, currentAttempt, JobTimeoutError, WorkerStoppingError } from '../../../src/run/attempt.ts';

const silent: JobLog = { debug() {}, info() {}, warn() {}, error() {} };

function attemptOf(job: JobClass, overran?: Set<Attempt>): Attempt {
  return new Attempt(
    { redelivered: false } as Delivery,
    {
      id: 'one',
      queue: 'default',
      registration: register(job),
      headers: {
        attempt: 2,
        crashes: 0,
        replays: 0,
        enqueuedAt: 5000,
        dueAt: undefined,
        deadAt: undefined,
        notBefore: undefined,
        error: { name: 'Error', message: 'before' },
        reason: undefined,
      },
      now: 9000,
    },
    {
      enqueueFor: () => async () => ({ id: 'two', queue: 'default' }),
      logFor: () => silent,
      progressOf: () => {},
      ...(overran && { overran }),
    },
  );
}

describe('one attempt', () => {
  it('gives perform its payload and context, and returns its value', async () => {
    let seen: JobContext | undefined;
    class Echo extends Job<number> {
      perform(payload: number, context: JobContext) {
        seen = context;
        return payload + 1;
      }
    }
    expect(await attemptOf(Echo).run(41)).toEqual({ kind: 'returned', value: 42 });
    expect(seen).toMatchObject({
      id: 'one',
      job: 'Echo',
      attempt: 2,
      attempts: 12,
      lastError: { message: 'before' },
    });
    expect(seen?.enqueuedAt.getTime()).toBe(5000);
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('no');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no'))],
  ])('ends with the error of a perform that %s', async (_how, perform) => {
    class Failing extends Job {
      perform() {
        return perform();
      }
    }
    expect(await attemptOf(Failing).run(null)).toMatchObject({ kind: 'threw', error: { message: 'no' } });
  });

  it('a constructor that throws is a failed attempt too', async () => {
    class Broken extends Job {
      constructor() {
        super();
        throw new Error('cannot be made');
      }
      perform() {}
    }
    expect(await attemptOf(Broken).run(null)).toMatchObject({ kind: 'threw' });
  });

  it('ends at its timeout and aborts its signal, also when perform never returns', async () => {
    let signal: AbortSignal | undefined;
    class Endless extends Job {
      static override timeout = 20;
      perform(_: unknown, context: JobContext) {
        signal = context.signal;
        return new Promise(() => {});
      }
    }
    const result = await attemptOf(Endless).run(null);
    expect(result).toMatchObject({ kind: 'timed-out' });
    expect(signal?.reason).toBeInstanceOf(JobTimeoutError);
  });

  it('a job that throws because its worker stops is released, not failed', async () => {
    class Stopping extends Job {
      perform(_: unknown, { signal }: JobContext) {
        return new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason));
        });
      }
    }
    const attempt = attemptOf(Stopping);
    const result = attempt.run(null);
    attempt.abort(new WorkerStoppingError());
    expect(await result).toEqual({ kind: 'released' });
  });

  it('is known to have overrun from its timeout until its code has ended', async () => {
    let finish: () => void = () => {};
    class Deaf extends Job {
      static override timeout = '1ms';
      perform() {
        return new Promise<void>((resolve) => {
          finish = resolve;
        });
      }
    }
    const overran = new Set<Attempt>();
    const attempt = attemptOf(Deaf, overran);
    expect(await attempt.run(null)).toMatchObject({ kind: 'timed-out' });
    expect([...overran]).toEqual([attempt]);
    finish();
    await new Promise(setImmediate);
    expect(overran.size).toBe(0);
  });

  it('is forgotten where a thousand have overrun and none of them ends', async () => {
    class Lost extends Job {
      static override timeout = '1ms';
      perform() {
        return new Promise<void>(() => {});
      }
    }
    const overran = new Set(Array.from({ length: 1000 }, () => attemptOf(Lost)));
    await attemptOf(Lost, overran).run(null);
    expect(overran.size).toBe(1000);
  });

  it('a signal first asked for after the abort is aborted', () => {
    class Idle extends Job {
      perform() {}
    }
    const attempt = attemptOf(Idle);
    attempt.abort(new WorkerStoppingError());
    expect(attempt.signal.aborted).toBe(true);
  });

  it('a result that cannot be looked at is a failed attempt', async () => {
    class Lazy extends Job {
      perform() {
        return new Proxy(
          {},
          {
            get() {
              throw new Error('not loaded');
            },
          },
        );
      }
    }
    expect(await attemptOf(Lazy).run(null)).toMatchObject({
      kind: 'threw',
      error: { message: 'not loaded' },
    });
  });

  const CONTROL = Symbol.for('warren.control');
  const closed = () => {
    throw new Error('not loaded');
  };
  it.each([
    ['throws when asked what it has', new Proxy({}, { has: closed }), /not loaded/],
    ['asks for a snooze that is none', { [CONTROL]: 'snooze', ms: Number.NaN }, /no duration/],
    ['asks for what there is not', { [CONTROL]: 'pause' }, /does not know/],
  ])('a result that %s is a failed attempt, at once and later', async (_, value, message) => {
    class AtOnce extends Job {
      perform() {
        return value;
      }
    }
    class Later extends Job {
      async perform() {
        return value;
      }
    }
    for (const job of [AtOnce, Later])
      expect(await attemptOf(job).run(null)).toMatchObject({
        kind: 'threw',
        error: { message: expect.stringMatching(message) },
      });
  });

  it('its abort listeners run in its own context', () => {
    let inside: Attempt | undefined;
    class Idle extends Job {
      perform() {}
    }
    const attempt = attemptOf(Idle);
    attempt.signal.addEventListener('abort', () => {
      inside = currentAttempt();
    });
    attempt.abort(new WorkerStoppingError());
    expect(inside).toBe(attempt);
  });

  it('is known to the code it runs, across awaits', async () => {
    let inside: Attempt | undefined;
    class Deep extends Job {
      async perform() {
        await new Promise(setImmediate);
        inside = currentAttempt();
      }
    }
    const attempt = attemptOf(Deep);
    await attempt.run(null);
    expect(inside).toBe(attempt);
    expect(currentAttempt()).toBeUndefined();
  });
});
