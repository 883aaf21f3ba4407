import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Health } from '../../../src/health.ts';
import { togetherOf } from '../../../src/supervise/health.ts';
import { NEW } from '../../../src/supervise/restarts.ts';
import type { WorkerSlot } from '../../../src/supervise/supervisor.ts';
import { WorkerProcess } from '../../../src/supervise/worker-process.ts';
import { holdTime, releaseTime } from '../time.ts';
import { FakeProcess } from './fake.ts';

// Uptimes are of this moment.
beforeEach(holdTime);
afterEach(releaseTime);

function slot(nr: number, more: Partial<WorkerSlot> = {}, begun = true): WorkerSlot {
  const fake = new FakeProcess(nr * 100);
  const process = new WorkerProcess(fake.asChild);
  if (begun) fake.begin();
  return { nr, process, record: NEW, lastDeath: undefined, restartAt: 0, timer: undefined, ...more };
}

const died = { code: 1, signal: null, uptimeMs: 5, begun: true, lastWords: [] };
const gone = (nr: number, record = { restarts: 1, streak: 1, stillborn: 0 }) =>
  slot(nr, { process: undefined, lastDeath: died, record });

const health = (more: Partial<Health> = {}, running = 1): Health => ({
  status: 'ok',
  version: '1.2.3',
  broker: { connected: true, version: '4.3.6' },
  queues: { mail: { ready: 7, dead: 2, consumers: 3, running } },
  delayed: { '3s': 12 },
  unrouted: 0,
  ...more,
});
const together = (slots: WorkerSlot[], answers: (Health | undefined)[], draining = false) =>
  togetherOf(slots, answers, { version: '1.2.3', draining });

describe('the health of several processes', () => {
  it('is one: what runs is added, what the broker says is said once', () => {
    expect(together([slot(1), slot(2)], [health({}, 3), health({}, 4)])).toEqual({
      ...health({}, 7),
      processes: [
        { pid: 100, status: 'ok', restarts: 0, uptime: 0 },
        { pid: 200, status: 'ok', restarts: 0, uptime: 0 },
      ],
    });
  });

  it('is as bad as the worst of them; what all complain of stands once', () => {
    const both = "queue 'mail': 7 ready and nobody consumes";
    const { status, reasons } = together(
      [slot(1), slot(2)],
      [
        health({ status: 'degraded', reasons: [both] }),
        health({ status: 'degraded', reasons: [both, "queue 'mail': not consuming"] }),
      ],
    );
    expect([status, reasons]).toEqual([
      'degraded',
      [both, "worker 2 (pid 200): queue 'mail': not consuming"],
    ]);
    const away = { connected: false, version: '4.3.6' };
    const lost = health({ status: 'down', broker: away, delayed: {}, unrouted: null, reasons: ['away'] });
    expect(together([slot(1), slot(2)], [lost, health()])).toMatchObject({
      ...{ status: 'down', broker: away, delayed: { '3s': 12 }, reasons: ['worker 1 (pid 100): away'] },
    });
  });

  it('names who starts, who is silent, who died, and who dies again and again', () => {
    const { status, reasons, processes } = together(
      [slot(1), slot(2, {}, false), slot(3), gone(4), gone(5, { restarts: 9, streak: 3, stillborn: 3 })],
      [health(), undefined, undefined, undefined, undefined],
    );
    expect([status, reasons]).toEqual([
      'degraded',
      [
        'worker 2 (pid 200): starting',
        'worker 3 (pid 300): does not answer',
        expect.stringMatching(/^worker 4: died \(exit code 1\), starts again in \d+\.\d s$/),
        expect.stringMatching(/^worker 5: died/),
        'worker 5: restarts in a loop (exit code 1)',
      ],
    ]);
    expect(processes.map((one) => one.status)).toEqual(['ok', 'starting', 'silent', 'dead', 'dead']);
    expect(processes.map(({ pid, restarts }) => [pid, restarts])[4]).toEqual([null, 9]);
  });

  it('is down while nobody works', () => {
    expect(together([gone(1)], [undefined])).toMatchObject({
      ...{ status: 'down', broker: { connected: false, version: null }, queues: {}, unrouted: null },
    });
  });

  it('says who leads the schedules, if one of them does', () => {
    const leader = { host: 'a', pid: 200, since: '2026-11-22T00:00:00.000Z' };
    const said = (leading: boolean) => health({ schedules: { leader, leading } });
    expect(together([slot(1), slot(2)], [said(false), said(true)]).schedules).toEqual({
      leader,
      leading: true,
    });
  });
});
