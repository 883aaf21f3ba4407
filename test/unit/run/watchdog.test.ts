import { describe, expect, it } from '@jest/globals';
import { healthOf } from '../../../src/health.ts';
import type { Run } from '../../../src/run/run.ts';
import { overdueRuns } from '../../../src/run/watchdog.ts';

const run = (id: string, durationMs: number, timeoutMs?: number) =>
  ({ id, durationMs, registration: { name: 'Send', timeoutMs } }) as Run;

const ids = (runs: readonly { id: string }[]) => runs.map(({ id }) => id);

describe('the watchdog', () => {
  it('names runs past their timeout, and those without one past the broker’s patience', () => {
    const active = [
      run('just over', 31_000, 30_000),
      run('long over', 36_000, 30_000),
      run('no limit', 100_000),
    ];
    expect(overdueRuns(active, [], 1_800_000)).toEqual([
      { id: 'long over', job: 'Send', seconds: 36, limitSeconds: 30 },
    ]);
    expect(ids(overdueRuns(active, [], 60_000))).toEqual(['long over', 'no limit']);
  });

  it('counts code that goes on after its attempt ended, once', () => {
    const stuck = run('stuck', 36_000, 30_000);
    expect(ids(overdueRuns([stuck], [stuck, run('gone on', 90_000, 30_000)], 1_800_000))).toEqual([
      'stuck',
      'gone on',
    ]);
  });

  it('makes a process degraded that is otherwise well, and says which job it is', () => {
    const overdue = overdueRuns([run('order-17', 95_000, 30_000), run('order-18', 60_000, 30_000)], [], 0);
    const state = {
      queue: 'mail',
      running: 2,
      concurrency: 5,
      attached: true,
      oldestRunningSeconds: 95,
      overdue,
    };
    const snapshot = { queues: {}, delayed: {}, unrouted: 0, notes: [] };
    const health = healthOf({ version: '1', broker: { connected: true }, snapshot, states: [state] });
    expect(health).toMatchObject({
      status: 'degraded',
      reasons: ["queue 'mail': Send order-17 has run for 1m35s, its limit is 30s (and 1 more)"],
    });
  });
});
