import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { rungFor, rungsOf, wayOf } from '../../../topology/delays.ts';

const rungs = [3_000, 30_000, 300_000];

describe('rungFor', () => {
  it.each([
    [0, 3_000],
    [1, 3_000],
    [3_000, 3_000],
    [3_001, 30_000],
    [30_000, 30_000],
    [299_999, 300_000],
    [300_000, 300_000],
    [300_001, 300_000],
    [1e12, 300_000],
  ])('puts a wait of %p ms on the rung of %p ms', (wait, rung) => {
    expect(rungFor(wait, rungs)).toBe(rung);
  });

  it('has none where there are none', () => {
    expect(rungFor(5, [])).toBeUndefined();
  });

  it('is never early, except beyond the longest, and never later than need be', () => {
    const wait = fc.integer({ min: 0, max: 1e6 });
    fc.assert(
      fc.property(wait, fc.array(fc.integer({ min: 1, max: 1e6 }), { minLength: 1 }), (ms, delays) => {
        const all = rungsOf(delays);
        const rung = rungFor(ms, all) as number;
        const longEnough = all.filter((other) => other >= ms);
        expect(rung).toBe(longEnough.length > 0 ? Math.min(...longEnough) : Math.max(...all));
      }),
    );
  });
});

describe('wayOf', () => {
  it.each([
    [3_000, { rung: 3_000 }],
    [3_001, { seconds: 4 }],
    [60_000, { seconds: 60 }],
    [2_500, { rung: 3_000 }],
    [1_999, { seconds: 2 }],
    [400_000, { seconds: 400 }],
    [0, undefined],
    [-5, undefined],
  ])('holds a wait of %p ms on %p', (wait, way) => {
    expect(wayOf(wait, rungs, true)).toEqual(way);
  });

  it('is the rung where there are no levels, and beyond the last of them', () => {
    expect(wayOf(3_001, rungs, false)).toEqual({ rung: 30_000 });
    expect(wayOf(300_000_000_000, rungs, true)).toEqual({ rung: 300_000 });
    expect(wayOf(5, [], false)).toBeUndefined();
  });

  it('is never early, and never later than rung or level need be', () => {
    const delays = fc.array(fc.integer({ min: 1, max: 1e6 }));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e9 }), delays, (ms, list) => {
        const all = rungsOf(list);
        const way = wayOf(ms, all, true);
        const waits = way === undefined ? 0 : 'rung' in way ? way.rung : way.seconds * 1000;
        expect(waits).toBeGreaterThanOrEqual(ms);
        expect(waits).toBeLessThan(ms + 1000);
        if (all.includes(ms)) expect(way).toEqual({ rung: ms });
      }),
    );
  });
});

describe('rungsOf', () => {
  it('has each delay once, shortest first, and none for no delay', () => {
    expect(rungsOf([30_000, 3_000, 0, 30_000, 5])).toEqual([5, 3_000, 30_000]);
    expect(rungsOf([])).toEqual([]);
  });
});
