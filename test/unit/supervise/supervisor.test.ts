import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { EventBus } from '../../../src/core/events.ts';
import { Supervisor, type SupervisorOptions } from '../../../src/supervise/supervisor.ts';
import { FakeProcess } from './fake.ts';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

function setUp(options: Partial<SupervisorOptions> = {}) {
  const bus = new EventBus();
  const events: [string, object][] = [];
  bus.onAny((name, event) => void events.push([name, event]));
  const forked: FakeProcess[] = [];
  const fork = () => {
    const made = new FakeProcess();
    forked.push(made);
    return made.asChild;
  };
  const supervisor = new Supervisor({
    ...{ processes: 2, fork, bus, graceMs: 10_000, stallMs: 60_000, random: () => 1 },
    ...options,
  });
  let code: number | undefined;
  void supervisor.run().then((ended) => {
    code = ended;
  });
  const named = (name: string) => events.filter(([one]) => one === name).map(([, event]) => event);
  return { supervisor, forked, named, code: () => code, at: (index: number) => forked[index] as FakeProcess };
}

const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);

describe('a supervisor', () => {
  it('starts a worker again that died, later each time, and says with what last words', async () => {
    const { forked, named, at } = setUp();
    at(0).begin();
    at(0).stderr.write('the last\nof it\n');
    await pass(10);
    at(0).end(1);
    await pass(450);
    expect(forked).toHaveLength(2);
    await pass(300);
    expect(forked).toHaveLength(3);
    expect(named('process.died')).toEqual([
      expect.objectContaining({
        worker: 1,
        code: 1,
        signal: null,
        restarts: 1,
        lastWords: ['the last', 'of it'],
      }),
    ]);
    at(2).end(null, 'SIGKILL');
    await pass(900);
    expect(forked).toHaveLength(3);
    await pass(400);
    expect(forked).toHaveLength(4);
    expect(named('process.started')).toHaveLength(4);
  });

  it('also one that could not be started at all', async () => {
    const { forked, at, named } = setUp({ processes: 1 });
    Object.assign(at(0), { pid: undefined });
    at(0).emit('error', new Error('spawn EAGAIN'));
    await pass(1000);
    expect(forked).toHaveLength(2);
    expect(named('process.died')).toEqual([
      expect.objectContaining({ code: null, signal: null, lastWords: ['spawn EAGAIN'] }),
    ]);
  });

  it('also where the system refuses with a throw', async () => {
    let tries = 0;
    const fork = () => {
      tries += 1;
      throw new Error('spawn ENOMEM');
    };
    const { code, named } = setUp({ processes: 1, fork });
    await pass(60_000);
    expect(named('process.died')[0]).toMatchObject({ code: null, lastWords: ['spawn ENOMEM'] });
    expect([tries, code()]).toEqual([5, 1]);
  });

  it('kills one that does not answer for the stall timeout, and no other', async () => {
    const { at, forked, named } = setUp();
    at(1).answers = {};
    await pass(59_000);
    expect(named('process.stalled')).toEqual([]);
    await pass(12_000);
    expect(named('process.stalled')).toEqual([expect.objectContaining({ worker: 2, pid: at(1).pid })]);
    expect(forked).toHaveLength(3);
  });

  it('gives up at once, with its code, on a worker whose configuration cannot be', async () => {
    const { at, named, code } = setUp();
    at(0).end(78);
    await pass(300);
    expect(named('supervisor.gave-up')).toEqual([{ code: 78, worker: 1 }]);
    expect(at(1).sent).toContainEqual(expect.objectContaining({ warren: 'stop' }));
    at(1).end(0);
    await pass(300);
    expect(code()).toBe(78);
  });

  it('gives up when every worker died five times at its start, and not while one of them works', async () => {
    const { forked, named, code, at } = setUp();
    at(1).begin();
    const ended = new Set([at(1)]);
    const endAll = async (rounds: number) => {
      for (let round = 0; round < rounds; round += 1) {
        for (const one of forked.filter((each) => !ended.has(each))) ended.add(one) && one.end(0);
        await pass(31_000);
      }
    };
    await endAll(8);
    expect(named('supervisor.gave-up')).toEqual([]);
    at(1).end(1);
    await endAll(6);
    // Workers that never work are no success, even where each of them says 0.
    expect([named('supervisor.gave-up').length, code()]).toEqual([1, 1]);
  });

  it('hands a stop on over IPC, starts nobody any more, and ends with the worst code', async () => {
    const { supervisor, forked, at, code } = setUp({ processes: 3 });
    at(2).begin();
    at(2).end(1);
    await pass(1);
    supervisor.stop('SIGTERM');
    const stop = expect.objectContaining({ warren: 'stop', why: 'SIGTERM', by: Date.now() + 9_500 });
    expect([at(0).sent, at(1).sent]).toEqual([[stop], [stop]]);
    at(0).end(0);
    await pass(5000);
    expect([forked.length, code()]).toEqual([3, undefined]);
    at(1).end(3);
    await pass(300);
    // The crash was before the stop: what came of it was the restart that nobody needs any more.
    expect(code()).toBe(3);
  });

  it('kills within the grace period who does not end, and says that jobs were given back', async () => {
    const { supervisor, at, named, code } = setUp();
    supervisor.stop('SIGTERM');
    at(0).end(0);
    await pass(9_950);
    expect(named('process.overran')).toEqual([{ worker: 2, pid: at(1).pid, graceMs: 10_000 }]);
    await pass(50);
    expect(code()).toBe(3);
  });

  it('counts a worker that a signal to the group struck before it could listen as one that ran nothing', async () => {
    const { supervisor, at, code } = setUp();
    supervisor.stop('SIGTERM');
    at(0).end(null, 'SIGTERM');
    at(1).end(null, 'SIGTERM');
    await pass(300);
    expect(code()).toBe(0);
  });

  it('leaves the processes alone when it was itself stopped for a while', async () => {
    const { at, forked, named } = setUp();
    at(0).answers = {};
    await pass(11_000);
    jest.setSystemTime(Date.now() + 3_600_000);
    at(0).answers = { ping: true };
    await pass(60_000);
    expect([named('process.stalled'), forked.length]).toEqual([[], 2]);
  });
});
