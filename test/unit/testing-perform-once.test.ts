import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { ConfigurationError, PayloadInvalidError } from '../../src/core/errors.ts';
import { dead, snooze } from '../../src/core/outcome.ts';
import { Job, type JobContext } from '../../src/job.ts';
import { JobTimeoutError } from '../../src/run/attempt.ts';
import { performOnce } from '../../src/testing.ts';

class Greet extends Job<{ name: string }> {
  static override queue = 'mail';
  async perform({ name }: { name: string }, { log }: JobContext) {
    log.info('greeted', { name });
    return `hello ${name}`;
  }
}

class Broken extends Job<{ fatal?: boolean }> {
  static override retry = {
    attempts: 3,
    backoff: ['3s', '30s'],
    unless: (error: unknown) => error instanceof TypeError,
  };
  async perform({ fatal }: { fatal?: boolean }): Promise<void> {
    throw fatal ? new TypeError('never') : new Error('not now');
  }
}

describe('performOnce', () => {
  it('tells what perform returned and logged', async () => {
    expect(await performOnce(Greet, { name: 'Ann' })).toEqual({
      outcome: 'done',
      value: 'hello Ann',
      enqueued: [],
      progress: [],
      logs: [{ level: 'info', message: 'greeted', fields: { name: 'Ann' } }],
    });
  });

  it('infers the payload from the class', async () => {
    // @ts-expect-error the payload of Greet is { name: string }
    await performOnce(Greet, { nome: 'Ann' });
    // @ts-expect-error and it is needed
    await performOnce(Greet).catch(() => {});
  });

  it('passes the payload through JSON, as the broker does', async () => {
    class Keep extends Job<{ at: Date; nothing?: string | undefined }> {
      async perform(payload: { at: Date; nothing?: string | undefined }) {
        return payload;
      }
    }
    const { value } = await performOnce(Keep, { at: new Date(0), nothing: undefined });
    expect(value).toEqual({ at: '1970-01-01T00:00:00.000Z' });
  });

  it('gives perform what the schema makes of the payload', async () => {
    const schema = z.object({ at: z.coerce.date(), times: z.number().default(2) });
    class Remind extends Job<z.input<typeof schema>> {
      static override payload = schema;
      async perform(payload: unknown) {
        return payload;
      }
    }
    const { value } = await performOnce(Remind, { at: '2030-01-01T00:00:00.000Z' });
    expect(value).toEqual({ at: new Date('2030-01-01T00:00:00.000Z'), times: 2 });
  });

  it('refuses what enqueue would refuse', async () => {
    class Strict extends Job<{ n: number }> {
      static override payload = z.object({ n: z.number().positive() });
      async perform() {}
    }
    await expect(performOnce(Strict, { n: -1 })).rejects.toThrow(PayloadInvalidError);
    await expect(performOnce(Greet, { name: 1n as unknown as string })).rejects.toThrow(PayloadInvalidError);
  });

  it('parks what fits its schema only before it has been JSON', async () => {
    class Dated extends Job<{ at: Date }> {
      static override payload = z.object({ at: z.date() });
      async perform() {}
    }
    const { outcome, reason, error } = await performOnce(Dated, { at: new Date() });
    expect([outcome, reason]).toEqual(['dead', 'invalid-payload']);
    expect(error).toMatchObject({ name: 'InvalidPayload', message: expect.stringMatching(/^at: /) });
  });

  it.each([
    [1, { outcome: 'retry', waitMs: 3000 }],
    [2, { outcome: 'retry', waitMs: 30_000 }],
    [3, { outcome: 'dead', reason: 'attempts-exhausted' }],
  ])('decides after a throw in attempt %i', async (attempt, wanted) => {
    const performed = await performOnce(Broken, {}, { attempt });
    expect(performed).toMatchObject(wanted);
    expect(performed.error).toEqual(new Error('not now'));
  });

  it('sees errors that no retry mends', async () => {
    expect(await performOnce(Broken, { fatal: true })).toMatchObject({
      outcome: 'dead',
      reason: 'dead-by-job',
      error: new TypeError('never'),
    });
  });

  it('takes a throw that comes at once, without a promise', async () => {
    class Sync extends Job {
      perform(): void {
        throw new RangeError('at once');
      }
    }
    expect(await performOnce(Sync, null)).toMatchObject({
      outcome: 'retry',
      error: new RangeError('at once'),
    });
  });

  it('tells dead() and snooze() apart', async () => {
    class Choose extends Job<'dead' | 'snooze'> {
      async perform(which: 'dead' | 'snooze') {
        return which === 'dead' ? dead('order is gone') : snooze('1m');
      }
    }
    expect(await performOnce(Choose, 'dead')).toMatchObject({
      outcome: 'dead',
      reason: 'dead-by-job',
      error: { name: 'Dead', message: 'order is gone' },
    });
    expect(await performOnce(Choose, 'snooze', { attempt: 5 })).toMatchObject({
      outcome: 'snooze',
      waitMs: 60_000,
    });
  });

  it('ends at the timeout of the class, and aborts its signal', async () => {
    let signal: AbortSignal | undefined;
    class Slow extends Job {
      static override timeout = '20ms';
      perform(_: unknown, context: JobContext) {
        signal = context.signal;
        return new Promise<void>(() => {});
      }
    }
    const { outcome, error, waitMs } = await performOnce(Slow, null);
    expect([outcome, waitMs]).toEqual(['retry', 3000]);
    expect(error).toBeInstanceOf(JobTimeoutError);
    expect(signal?.reason).toBe(error);
  });

  it('plays a worker that stops, when its signal is aborted', async () => {
    class Patient extends Job {
      perform(_: unknown, { signal }: JobContext) {
        return new Promise<void>((_resolve, reject) => {
          const stop = () => reject(signal.reason);
          if (signal.aborted) stop();
          signal.addEventListener('abort', stop);
        });
      }
    }
    const stopping = new AbortController();
    const performing = performOnce(Patient, null, { signal: stopping.signal });
    stopping.abort();
    expect((await performing).outcome).toBe('released');
    expect((await performOnce(Patient, null, { signal: AbortSignal.abort() })).outcome).toBe('released');
  });

  it('records what the job enqueues, checked and addressed as in production', async () => {
    class Parent extends Job {
      async perform(_: unknown, { enqueue }: JobContext) {
        const { id } = await enqueue(Greet, { name: 'Bob' });
        await enqueue('Elsewhere', { at: new Date(0) }, { queue: 'other', id: 'order-17' });
        return id;
      }
    }
    const { enqueued, value } = await performOnce(Parent, null);
    expect(enqueued).toEqual([
      { job: 'Greet', queue: 'mail', id: value, payload: { name: 'Bob' }, options: {} },
      {
        job: 'Elsewhere',
        queue: 'other',
        id: 'order-17',
        payload: { at: '1970-01-01T00:00:00.000Z' },
        options: { queue: 'other', id: 'order-17' },
      },
    ]);
  });

  it('fails the attempt when what the job enqueues is refused', async () => {
    class Parent extends Job {
      async perform(_: unknown, { enqueue }: JobContext) {
        await enqueue('', {});
      }
    }
    const { outcome, error, enqueued } = await performOnce(Parent, null);
    expect([outcome, enqueued]).toEqual(['retry', []]);
    expect(error).toBeInstanceOf(PayloadInvalidError);
  });

  it('gives the context that was asked for', async () => {
    class Look extends Job {
      static override retry = { attempts: 7 };
      async perform(_: unknown, { id, job, queue, attempt, attempts, lastError, redelivered }: JobContext) {
        return { id, job, queue, attempt, attempts, lastError, redelivered };
      }
    }
    const lastError = new RangeError('before');
    const options = { id: 'x', queue: 'q', attempt: 4, lastError, redelivered: true };
    expect((await performOnce(Look, null, options)).value).toEqual({
      id: 'x',
      job: 'Look',
      queue: 'q',
      attempt: 4,
      attempts: 7,
      lastError: expect.objectContaining({ name: 'RangeError', message: 'before' }),
      redelivered: true,
    });
    expect((await performOnce(Look, null)).value).toMatchObject({
      attempt: 1,
      queue: 'default',
      lastError: undefined,
    });
  });

  it('refuses a class that cannot be a job', async () => {
    class Wrong extends Job {
      static override retry = { attempts: 0 };
      async perform() {}
    }
    await expect(performOnce(Wrong, null)).rejects.toThrow(ConfigurationError);
  });
});
