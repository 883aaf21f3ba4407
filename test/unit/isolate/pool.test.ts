/** Children that are none: who is blamed, and when a run is moved to another. */
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { Delivery } from '../../../src/broker/broker.ts';
import { EventBus } from '../../../src/core/events.ts';
import type { RunResult } from '../../../src/core/outcome.ts';
import type { Registration } from '../../../src/core/registry.ts';
import type { Child, Watcher } from '../../../src/isolate/child.ts';
import { IsolatedRun } from '../../../src/isolate/isolated-run.ts';
import { Pool } from '../../../src/isolate/pool.ts';
import type { Birth, Down, Told, Up } from '../../../src/isolate/protocol.ts';

const FALLEN = { exitCode: null, signal: 'SIGKILL', stderr: '' };
const IDLE_MS = 60_000;
const STALL_MS = 60_000;

class FakeChild implements Child {
  readonly kind = 'process';
  readonly said: Down[] = [];
  readonly watcher: Watcher;
  answers = true;
  leaving = false;
  killed = false;

  constructor(watcher: Watcher) {
    this.watcher = watcher;
    queueMicrotask(() => watcher.onMessage({ kind: 'ready', jobs: ['Deed'] }));
  }
  post(message: Down): void {
    this.said.push(message);
    if (message.kind === 'ping' && this.answers) this.watcher.onMessage({ kind: 'pong' });
  }
  kill(): void {
    if (this.killed) return;
    this.killed = true;
    queueMicrotask(() => this.watcher.onDeath(FALLEN));
  }
  leave(): void {
    this.leaving = true;
  }
  take(): void {
    this.watcher.onMessage({ kind: 'took' });
  }
  finish(): void {
    const ending = { kind: 'returned', outcome: { kind: 'done' } } as const;
    this.watcher.onMessage({ kind: 'ended', ending, broken: false });
  }
}

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);

function setUp(refuse?: Error) {
  const made: FakeChild[] = [];
  const failures: object[] = [];
  const make = (_: Birth, watcher: Watcher) => {
    if (refuse) throw refuse;
    made.push(new FakeChild(watcher));
    return made.at(-1) as FakeChild;
  };
  const onFailure = (failure: object) => void failures.push(failure);
  const told: Told[] = [];
  const onTold = (message: Told) => void told.push(message);
  const pool = new Pool({ kind: 'process', make, birth: {} as Birth, onFailure, onTold });
  const bus = new EventBus();
  bus.on('child.failed', onFailure);
  const publish = jest.fn(async () => {});
  const start = ({ watchStall = false } = {}) => {
    const registration = { name: 'Deed', maxCrashes: 3 } as Registration;
    const delivery = { body: Buffer.from('{}'), properties: { headers: {} }, live: true } as Delivery;
    const about = { id: 'one', queue: 'deeds', registration, headers: { crashes: 0 } as never, now: 1 };
    const patience = { stop: 5_000, answer: 1_000, stall: STALL_MS };
    const where = { pool, watchStall, patience };
    const it = new IsolatedRun(delivery, about, where, { broker: { publish }, levels: { publish }, bus });
    const results: RunResult[] = [];
    it.start(
      () => {},
      (_, result) => void results.push(result),
    );
    return { run: it, results };
  };
  return { told, made, failures, publish, start, child: (index: number) => made[index] as FakeChild };
}

describe('a pool of children', () => {
  it('gives no job to one that leaves', async () => {
    const { made, start, child } = setUp();
    const both = [start(), start()];
    await pass(0);
    for (const index of [0, 1]) {
      child(index).take();
      child(index).finish();
    }
    await pass(IDLE_MS);
    expect(made.map(({ leaving }) => leaving)).toEqual([true, true]);
    const { results } = start();
    await pass(0);
    child(2).take();
    child(2).finish();
    expect([...both, { results }].map(({ results: [one] }) => one?.kind)).toEqual(Array(3).fill('returned'));
  });

  it('answers what a job enqueues after its end, and tells what it says', async () => {
    const { start, child, told } = setUp();
    const { run } = start();
    await pass(0);
    child(0).take();
    child(0).finish();
    child(0).watcher.onMessage({ kind: 'publish', run: run.nr, call: 7 } as Up);
    child(0).watcher.onMessage({ kind: 'stray', id: 'one', job: 'Deed', error: { name: 'E', message: 'm' } });
    expect(told.map(({ kind }) => kind)).toEqual(['stray']);
    const answer = { kind: 'published', call: 7, error: { code: 'WARREN_CLOSED' } };
    expect(child(0).said.at(-1)).toMatchObject(answer);
  });

  it('publishes for who runs there now, not for who ran there before', async () => {
    const { start, child, publish } = setUp();
    const first = start().run;
    await pass(0);
    child(0).take();
    child(0).finish();
    const next = start().run;
    await pass(0);
    child(0).take();
    const ask = (run: number, call: number) => {
      const publication = { body: Buffer.from('{}') };
      child(0).watcher.onMessage({ kind: 'publish', run, call, publication, waits: false } as Up);
    };
    ask(first.nr, 1);
    ask(next.nr, 2);
    await pass(0);
    expect(publish).toHaveBeenCalledTimes(1);
    expect(child(0).said.filter(({ kind }) => kind === 'published')).toMatchObject([
      { call: 1, error: { code: 'WARREN_CLOSED' } },
      { call: 2, error: undefined },
    ]);
  });

  it('takes a system that refuses to make one for a child that did not come up', async () => {
    const { start, failures } = setUp(new Error('spawn ENOMEM'));
    const { results } = start();
    await pass(100_000);
    expect(results).toEqual([{ kind: 'unstarted' }]);
    expect(failures).toMatchObject([{ error: { message: expect.stringContaining('ENOMEM') } }]);
  });
});

describe('a run in a child', () => {
  it('that does not take it goes to another, and is not blamed', async () => {
    const { start, child } = setUp();
    const { results } = start();
    await pass(0);
    child(0).answers = false;
    await pass(STALL_MS * 1.5);
    expect(child(0).killed).toBe(true);
    child(1).take();
    child(1).finish();
    expect(results).toMatchObject([{ kind: 'returned' }]);
  });

  it('is not blamed for what others left in its children, however many of them end', async () => {
    const { made, start, child, failures } = setUp();
    for (const _ of [0, 1, 2]) start();
    await pass(0);
    for (const index of [0, 1, 2]) {
      child(index).take();
      child(index).finish();
    }
    const { results } = start();
    await pass(0);
    const used = made.find(({ said }) => said.filter(({ kind }) => kind === 'run').length === 2);
    used?.watcher.onDeath(FALLEN);
    await pass(0);
    // The others that are idle ran something, too.
    expect(made).toHaveLength(4);
    child(3).watcher.onDeath(FALLEN);
    await pass(0);
    child(4).take();
    child(4).finish();
    expect(results).toMatchObject([{ kind: 'returned' }]);
    expect(failures).toMatchObject([{ signal: 'SIGKILL' }, { signal: 'SIGKILL' }]);
  });

  it('is blamed where two children end of it in which nothing ran before, taken or not', async () => {
    const { start, child } = setUp();
    const { results } = start();
    for (const index of [0, 1]) {
      await pass(0);
      child(index).watcher.onDeath(FALLEN);
    }
    expect(results).toMatchObject([{ kind: 'crashed', crashes: 0 }]);
    const [{ error }] = results as [Extract<RunResult, { kind: 'crashed' }>];
    expect(error.message).toContain('when it was given this job, twice');
  });

  it('is not blamed for children that do not answer before they take it', async () => {
    const { start, child } = setUp();
    const { results } = start();
    for (const index of [0, 1]) {
      await pass(0);
      child(index).answers = false;
      await pass(STALL_MS * 1.5);
    }
    expect(results).toEqual([{ kind: 'unstarted' }]);
  });

  it('that took it and was not to be watched may be silent', async () => {
    const { start, child } = setUp();
    const { results } = start();
    await pass(0);
    child(0).take();
    child(0).answers = false;
    await pass(STALL_MS * 5);
    expect(results).toEqual([]);
  });

  it('on probation has crashed when it is silent, but not when its parent was stopped', async () => {
    const { start, child } = setUp();
    const { results } = start({ watchStall: true });
    await pass(0);
    child(0).take();
    await pass(STALL_MS / 2);
    jest.setSystemTime(Date.now() + 3_600_000);
    jest.spyOn(performance, 'now').mockReturnValue(performance.now() + 3_600_000);
    await pass(STALL_MS);
    expect(results).toEqual([]);
    child(0).answers = false;
    await pass(STALL_MS * 1.5);
    expect(results).toMatchObject([{ kind: 'crashed', crashes: 0 }]);
    jest.restoreAllMocks();
  });

  it('has begun when a child has it, not while that boots', async () => {
    const { start } = setUp();
    const { run, results } = start();
    expect(run.begun).toBe(false);
    await pass(0);
    expect(run.begun).toBe(true);
    run.end({ kind: 'released' });
    expect([run.begun, results]).toEqual([true, [{ kind: 'released' }]]);
  });
});
