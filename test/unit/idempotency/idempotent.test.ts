/** The middleware, one attempt at a time, without a broker. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createRuntime, dead, Job, type JobContext, snooze } from 'warren';
import { type IdempotencyStore, idempotent, memoryStore as makeStore } from 'warren/idempotency';
import { type PerformOptions, performOnce } from 'warren/testing';
import { holdTime, pass, releaseTime } from '../time.ts';

beforeEach(holdTime);
afterEach(releaseTime);

/** Of the time that passes here. */
const memoryStore = (options = { now: () => performance.now() }) => makeStore(options);

/** A store that does as told instead of what it should. */
function broken(store: IdempotencyStore, faults: Partial<IdempotencyStore>): IdempotencyStore {
  return {
    claim: (...of) => store.claim(...of),
    complete: (...of) => store.complete(...of),
    release: (...of) => store.release(...of),
    ...faults,
  };
}

let runs = 0;
let behave: (context: JobContext) => unknown;

class Charge extends Job<{ order?: string }> {
  static override idempotent = true;
  static override retry = { attempts: 3, backoff: ['1s'] };
  perform(_: object, context: JobContext) {
    runs += 1;
    return behave(context);
  }
}

function begin(store: IdempotencyStore, how: (context: JobContext) => unknown = () => undefined) {
  runs = 0;
  behave = how;
  const middleware = [idempotent(store, { ttl: '300ms', answerWithin: '200ms' })];
  return (options: PerformOptions = {}) =>
    performOnce(Charge, {}, { id: 'order-17', middleware, ...options });
}

describe('an idempotent job', () => {
  it('runs once; the same id again counts as succeeded, and says so', async () => {
    const perform = begin(memoryStore());
    expect((await perform()).outcome).toBe('done');
    const again = await perform();
    expect([again.outcome, runs]).toEqual(['done', 1]);
    expect(again.logs).toMatchObject([{ level: 'info', message: 'done before: not run again' }]);
    await perform({ id: 'order-18' });
    expect(runs).toBe(2);
  });

  it.each([
    ['a failure', () => Promise.reject(new Error('no')), 'retry'],
    ['a snooze', () => snooze('1m'), 'snooze'],
    ['dead()', () => dead('no such order'), 'dead'],
  ] as const)('after %s the next attempt runs', async (_, how, outcome) => {
    const perform = begin(memoryStore(), how);
    expect((await perform()).outcome).toBe(outcome);
    behave = () => undefined;
    expect((await perform({ attempt: 2 })).outcome).toBe('done');
    expect(runs).toBe(2);
  });

  it('snoozes while another has it, until that claim could have expired', async () => {
    const store = memoryStore({ now: () => 0 });
    await store.claim('Charge:order-17', 'somebody', 20_000);
    const perform = begin(store);
    expect(await perform()).toMatchObject({ outcome: 'snooze', waitMs: 20_000 });
    expect(runs).toBe(0);
  });

  it('is not run while the store does not answer: it snoozes, whatever is left of its attempts', async () => {
    const faults = [() => Promise.reject(new Error('ECONNREFUSED')), () => new Promise<never>(() => {})];
    for (const claim of faults) {
      const perform = begin(broken(memoryStore(), { claim }));
      const performing = perform({ attempt: 3 });
      await pass(200);
      const { outcome, logs } = await performing;
      expect([outcome, runs]).toEqual(['snooze', 0]);
      expect(logs).toMatchObject([{ level: 'warn' }]);
    }
  });

  it('keeps its claim for as long as it runs', async () => {
    const store = memoryStore();
    const states: string[] = [];
    const perform = begin(store, async () => {
      for (let look = 0; look < 5; look++) {
        await new Promise((resolve) => setTimeout(resolve, 150));
        states.push((await store.claim('Charge:order-17', 'thief', 60_000)).state);
      }
    });
    const performing = perform();
    await pass(5 * 150);
    expect((await performing).outcome).toBe('done');
    expect(states).toEqual(Array(5).fill('busy'));
  });

  it('aborts when it lost its claim, and what it throws then spends no attempt', async () => {
    const store = memoryStore();
    let stolen = false;
    // What a worker meets that was paused for longer than its claim lived.
    const lost = broken(store, {
      claim: async (key, owner, ttl) =>
        stolen ? { state: 'busy', leftMs: 100 } : store.claim(key, owner, ttl),
    });
    const perform = begin(lost, async ({ signal }) => {
      stolen = true;
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    });
    const performing = perform({ attempt: 3 });
    // Renewed three times in its length.
    await pass(100);
    expect((await performing).outcome).toBe('snooze');
  });

  it('aborts when the store has not answered for the length of the claim', async () => {
    const store = memoryStore();
    let away = false;
    const cut = broken(store, {
      claim: (...of) => (away ? Promise.reject(new Error('away')) : store.claim(...of)),
    });
    let reason: unknown;
    const perform = begin(cut, async ({ signal }) => {
      away = true;
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      reason = signal.reason;
    });
    const performing = perform();
    await pass(299);
    expect(reason).toBeUndefined();
    await pass(1);
    expect((await performing).outcome).toBe('done');
    expect(reason).toMatchObject({ name: 'ClaimLostError' });
  });

  it('tries to record what it did until the store answers', async () => {
    const store = memoryStore();
    let fails = 1;
    const flaky = broken(store, {
      complete: (...of) => (fails-- > 0 ? Promise.reject(new Error('away')) : store.complete(...of)),
    });
    const perform = begin(flaky);
    const performing = perform();
    await pass(250);
    await performing;
    expect(await store.claim('Charge:order-17', 'two', 1)).toEqual({ state: 'done' });
  });

  it('is done all the same where that cannot be recorded, and says what it means', async () => {
    const perform = begin(broken(memoryStore(), { complete: () => Promise.reject(new Error('away')) }));
    const performing = perform();
    await pass(250);
    const { outcome, logs } = await performing;
    expect(outcome).toBe('done');
    expect(logs).toMatchObject([{ level: 'warn', message: expect.stringContaining('may run again') }]);
  });

  it('lets the claim of a run that goes on past its timeout expire', async () => {
    class Stuck extends Job {
      static override idempotent = true;
      static override timeout = '50ms';
      perform() {
        return new Promise(() => {});
      }
    }
    const store = memoryStore();
    const middleware = [idempotent(store, { ttl: '100ms' })];
    const outcomeOf = async () => (await performOnce(Stuck, null, { id: 'one', middleware })).outcome;
    const first = outcomeOf();
    await pass(50);
    expect(await first).toBe('retry');
    expect(await outcomeOf()).toBe('snooze');
    // Renewed for the last time before its timeout.
    await pass(100);
    const again = outcomeOf();
    await pass(50);
    expect(await again).toBe('retry');
  });

  it('takes its own key and its own time to keep it', async () => {
    class Ship extends Job<{ order?: string }> {
      static override idempotent = { key: ({ order }: { order?: string }) => order, keep: '1ms' };
      perform() {
        runs += 1;
      }
    }
    let now = 0;
    const middleware = [idempotent(memoryStore({ now: () => now }))];
    runs = 0;
    const ship = (payload: { order?: string }) => performOnce(Ship, payload, { middleware });
    await ship({ order: 'a' });
    await ship({ order: 'a' });
    expect(runs).toBe(1);
    now = 2;
    await ship({ order: 'a' });
    expect(runs).toBe(2);
    await ship({});
    await ship({});
    expect(runs).toBe(4);
  });

  it('cannot start where nothing would keep it from running twice', () => {
    const options = { jobs: [Charge], http: false, logger: false } as const;
    expect(() => createRuntime(options)).toThrow('job Charge is idempotent, but there is no store');
    expect(() => createRuntime({ ...options, middleware: [idempotent(memoryStore())] })).not.toThrow();
  });
});
