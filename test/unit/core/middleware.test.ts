import { describe, expect, it } from '@jest/globals';
import { Job, type Middleware } from 'warren';
import { performOnce } from 'warren/testing';

class Add extends Job<number> {
  perform(payload: number): unknown {
    if (payload < 0) throw new Error('negative');
    return payload + 1;
  }
}

describe('middleware', () => {
  it('stands around a run, the first outermost, and sees job, payload, context and result', async () => {
    const seen: unknown[] = [];
    const outer: Middleware = async ({ job, payload, context: { id } }, next) => {
      seen.push(['begins', job.name, payload, id]);
      const value = await next();
      seen.push(['ends', value]);
      return value;
    };
    const inner: Middleware = (_, next) => {
      seen.push('inner');
      return next();
    };
    const { value } = await performOnce(Add, 1, { id: 'one', middleware: [outer, inner] });
    expect(seen).toEqual([['begins', 'Add', 1, 'one'], 'inner', ['ends', 2]]);
    expect(value).toBe(2);
  });

  it('may leave the run out, change its result, or take its failure', async () => {
    expect((await performOnce(Add, 1, { middleware: [() => 'instead'] })).value).toBe('instead');
    const saved: Middleware = (_, next) => next().catch(({ message }) => message);
    expect(await performOnce(Add, -1, { middleware: [saved] })).toMatchObject({
      outcome: 'done',
      value: 'negative',
    });
  });

  it('fails the attempt where it throws', async () => {
    const middleware: Middleware[] = [
      () => {
        throw new Error('no span');
      },
    ];
    const { outcome, error } = await performOnce(Add, 1, { middleware });
    expect([outcome, error]).toMatchObject(['retry', { message: 'no span' }]);
  });

  it('cannot run a job twice', async () => {
    const twice: Middleware = async (_, next) => [await next(), await next()];
    const { outcome, error } = await performOnce(Add, 1, { middleware: [twice] });
    expect([outcome, error]).toMatchObject(['retry', { message: expect.stringContaining('next() twice') }]);
  });

  it('can abort the job', async () => {
    class Wait extends Job {
      perform(_: unknown, { signal }: { signal: AbortSignal }) {
        return new Promise((resolve) =>
          signal.addEventListener('abort', () => resolve(signal.reason.message)),
        );
      }
    }
    const stop: Middleware = (run, next) => {
      setImmediate(() => run.abort(new Error('enough')));
      return next();
    };
    expect((await performOnce(Wait, null, { middleware: [stop] })).value).toBe('enough');
  });
});
