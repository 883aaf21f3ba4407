import { describe, expect, it } from '@jest/globals';
import {
  afterDeath,
  isHopeless,
  isLoop,
  MOST_STILLBORN,
  NEW,
  RAN_WELL_MS,
  waitBefore,
  worstOf,
} from '../../../src/supervise/restarts.ts';

const early = { uptimeMs: 100, begun: false };
const death = (code: number | null, begun = false) => ({
  ...{ code, begun, uptimeMs: 100, lastWords: [] },
  signal: code === null ? ('SIGSEGV' as const) : null,
});
const stillborn = { restarts: 5, streak: 5, stillborn: MOST_STILLBORN };

describe('restarts', () => {
  it('wait twice as long each time, up to 30 s, the half of it by lot', () => {
    const waits = [1, 2, 3, 4, 10].map((streak) => {
      const record = { ...NEW, streak };
      return [waitBefore(record, () => 0), waitBefore(record, () => 1)];
    });
    expect(waits).toEqual([
      [250, 500],
      [500, 1000],
      [1000, 2000],
      [2000, 4000],
      [15_000, 30_000],
    ]);
  });

  it('begin a new series after a process that ran well', () => {
    const third = [1, 2, 3].reduce((record) => afterDeath(record, early), NEW);
    expect([third, isLoop(third)]).toEqual([{ restarts: 3, streak: 3, stillborn: 3 }, true]);
    const fourth = afterDeath(third, { uptimeMs: RAN_WELL_MS, begun: true });
    expect([fourth, isLoop(fourth)]).toEqual([{ restarts: 4, streak: 1, stillborn: 0 }, false]);
  });

  it.each([
    ['a configuration that cannot be', death(78), [NEW], false, true],
    ['a topology that differs', death(3), [NEW], false, true],
    ['a broker that cannot be reached', death(4), [NEW], false, true],
    ['the same once workers ran: the broker is waited for', death(4), [stillborn], true, false],
    ['a configuration that broke while workers ran', death(78), [NEW, NEW], true, false],
    ['a first crash at the start', death(1), [NEW], false, false],
    ['the fifth crash at the start of each', death(null), [stillborn, stillborn], false, true],
    ['the fifth of one, while the other lives', death(null), [stillborn, NEW], false, false],
    ['a crash of a worker that had begun', death(1, true), [stillborn], true, false],
  ])('pointless or not: %s', (_, how, records, everBegun, hopeless) => {
    expect(isHopeless(how, records, everBegun)).toBe(hopeless);
  });

  it.each([
    [[], 0],
    [[0, 0], 0],
    [[0, 3], 3],
    [[3, 1, 0], 1],
    [[1, 139, 3], 139],
    [[78, 1], 78],
  ])('the worst of %j is %i', (codes, worst) => {
    expect(worstOf(codes)).toBe(worst);
  });
});
