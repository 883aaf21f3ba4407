import { describe, expect, it } from '@jest/globals';
import { ConfigurationError } from '../../../src/core/errors.ts';
import { Registry } from '../../../src/core/registry.ts';
import {
  type CronSchedules,
  LATE_MS,
  type Missed,
  nextTicks,
  planTicks,
  runId,
  scheduleOfId,
  schedulesOf,
  tickId,
} from '../../../src/core/schedule.ts';
import { Job } from '../../../src/job.ts';

class Report extends Job {
  static override queue = 'reports';
  perform() {}
}

const withCron = (cron: unknown) => {
  class Other extends Report {
    static override jobName = 'Report';
    static override cron = cron as CronSchedules;
  }
  return new Registry([Other]).all;
};

const one = (missed: Missed, expression = '* * * * *') => {
  const [schedule] = schedulesOf(withCron({ expression, missed }));
  if (!schedule) throw new Error('no schedule');
  return schedule;
};

const noon = Date.UTC(2026, 10, 22, 12);
const minutes = (count: number) => noon + count * 60_000;

describe('schedulesOf', () => {
  it('reads an expression, an object and a list', () => {
    expect(schedulesOf(withCron('0 3 * * *'))).toMatchObject([
      {
        name: 'Report',
        job: 'Report',
        queue: 'reports',
        payload: null,
        missed: 'once',
        rhythm: { timeZone: 'UTC' },
      },
    ]);
    const list = [
      '0 3 * * *',
      { expression: '0 4 * * *', timeZone: 'Europe/Berlin', payload: { a: 1 }, missed: 'all' },
      { name: 'weekly', expression: '@weekly' },
    ];
    expect(schedulesOf(withCron(list))).toMatchObject([
      { name: 'Report#1' },
      { name: 'Report#2', payload: { a: 1 }, missed: 'all', rhythm: { timeZone: 'Europe/Berlin' } },
      { name: 'Report#weekly' },
    ]);
  });

  it('takes those of the configuration, for jobs by name', () => {
    const named = {
      nightly: { job: 'Report', expression: '0 3 * * *' },
      far: { job: 'Far', expression: '@daily', queue: 'q' },
    };
    expect(schedulesOf(withCron(undefined), named)).toMatchObject([
      { name: 'nightly', job: 'Report', queue: 'reports' },
      { name: 'far', job: 'Far', queue: 'q' },
    ]);
  });

  it.each([
    [42],
    [null],
    ['nonsense'],
    [{ expression: '0 3 * * *', missed: 'sometimes' }],
    [{ expression: '0 3 * * *', timezone: 'UTC' }],
    [{ expression: '0 3 * * *', payload: 1n }],
    [{ timeZone: 'UTC' }],
    [['0 3 * * *', { name: '1', expression: '0 4 * * *' }]],
    [[{ name: 'a b', expression: '0 4 * * *' }]],
  ])('refuses %p', (cron) => {
    if (cron === null) expect(() => schedulesOf(withCron([null]))).toThrow(ConfigurationError);
    else expect(() => schedulesOf(withCron(cron))).toThrow(ConfigurationError);
  });
});

describe('planTicks', () => {
  it('waits for the next tick', () => {
    expect(planTicks(one('once'), noon, noon + 5)).toEqual({ tick: minutes(1), skipped: undefined });
  });

  it.each<[Missed]>([['skip'], ['once'], ['all']])(
    '%s: a tick less than a minute late is not missed',
    (missed) => {
      expect(planTicks(one(missed), noon, minutes(1) + LATE_MS - 1)).toEqual({
        tick: minutes(1),
        skipped: undefined,
      });
    },
  );

  it('skip: goes on with the first tick that is not missed', () => {
    expect(planTicks(one('skip'), noon, minutes(10))).toEqual({
      tick: minutes(10),
      skipped: { count: 9, to: minutes(9) },
    });
  });

  it('once: runs the last of the missed', () => {
    const plan = planTicks(one('once'), noon, minutes(10));
    expect(plan).toEqual({ tick: minutes(9), skipped: { count: 8, to: minutes(9) - 1 } });
    expect(planTicks(one('once'), plan.skipped?.to ?? 0, minutes(10))).toEqual({
      tick: minutes(9),
      skipped: undefined,
    });
    expect(planTicks(one('once'), minutes(9), minutes(10)).tick).toBe(minutes(10));
  });

  it('all: runs each of them, the last hundred at most', () => {
    expect(planTicks(one('all'), noon, minutes(10))).toEqual({ tick: minutes(1), skipped: undefined });
    const plan = planTicks(one('all'), noon, minutes(251));
    expect(plan).toEqual({ tick: minutes(151), skipped: { count: 150, to: minutes(151) - 1 } });
  });

  it('does not count to the end of time', () => {
    const began = process.cpuUsage();
    const plan = planTicks(one('all', '* * * * * *'), noon - 365 * 86_400_000, noon);
    expect(plan).toEqual({
      tick: noon - LATE_MS - 99_000,
      skipped: { count: 900, to: noon - LATE_MS - 99_001 },
    });
    // What the processor did for it: a busy machine may take as long as it likes.
    expect(process.cpuUsage(began).user).toBeLessThan(3_000_000);
  });

  it('says when nothing is to come', () => {
    expect(planTicks(one('once', '0 0 31 2 *'), noon, noon)).toEqual({ tick: undefined, skipped: undefined });
  });
});

it('names a tick, and knows its schedule again', () => {
  expect(tickId('Report#weekly', noon)).toBe('cron:Report#weekly:2026-11-22T12:00:00Z');
  expect(scheduleOfId(tickId('a:b', noon))).toBe('a:b');
  expect(scheduleOfId(runId('a', 'x'))).toBe('a');
  expect(scheduleOfId('order-17')).toBeUndefined();
  expect(nextTicks(one('once'), noon, 2)).toEqual([minutes(1), minutes(2)]);
});
