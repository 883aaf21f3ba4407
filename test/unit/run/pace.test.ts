import { describe, expect, it } from '@jest/globals';
import { Pace } from '../../../src/run/pace.ts';

/** Asked every 5 ms while `perMs` jobs end each millisecond; what it raised to, and when. */
function raises(pace: Pace, perMs: number, { from = 0, until = 1000 } = {}): [at: number, to: number][] {
  const found: [number, number][] = [];
  for (let now = from; now <= until; now += 5) {
    const to = pace.raise(now, Math.floor(now * perMs));
    if (to !== undefined) found.push([now, to]);
  }
  return found;
}

describe('prefetch auto', () => {
  it('begins at the concurrency', () => {
    expect(new Pace(10, 'auto').prefetch).toBe(10);
  });

  it('stays there while jobs end slowly', () => {
    expect(raises(new Pace(10, 'auto'), 0.3)).toEqual([]);
  });

  it('holds 30 ms of work for jobs that end fast, from the first 40 ms on, and then keeps still', () => {
    expect(raises(new Pace(10, 'auto'), 10)).toEqual([[40, 310]]);
  });

  it('follows when more to hold makes it faster', () => {
    const pace = new Pace(10, 'auto');
    expect([pace.raise(0, 0), pace.raise(40, 160), pace.raise(80, 1360)]).toEqual([undefined, 130, 910]);
  });

  it('is bounded', () => {
    const pace = new Pace(10, 'auto');
    raises(pace, 1000);
    expect(pace.prefetch).toBe(2010);
  });

  it('falls back when what waits would take more than 100 ms', () => {
    const pace = raised();
    pace.mustFallBack(1000, 0, 1000);
    expect(pace.mustFallBack(1050, 200, 1500)).toBe(false);
    expect(pace.mustFallBack(1100, 200, 1520)).toBe(true);
    expect(pace.prefetch).toBe(10);
  });

  it('rests after that, so that work is not handed out twice again and again', () => {
    const pace = raised();
    pace.mustFallBack(1000, 200, 0);
    expect(raises(pace, 10, { from: 1000, until: 5900 })).toEqual([]);
    expect(raises(pace, 10, { from: 5905, until: 6100 })).toHaveLength(1);
  });

  it('judges a burst by itself, not by the idle hour before it', () => {
    const pace = new Pace(10, 'auto');
    pace.raise(3_600_000, 0);
    expect(pace.raise(3_600_040, 40)).toBe(40);
    expect(pace.mustFallBack(3_600_090, 20, 90)).toBe(false);
  });

  it('falls back when nothing starts any more', () => {
    const pace = raised();
    pace.mustFallBack(1000, 5, 1000);
    expect(pace.mustFallBack(1050, 5, 1000)).toBe(true);
  });

  it('keeps still while nothing waits', () => {
    expect(raised().mustFallBack(1000, 0, 0)).toBe(false);
  });

  it('never moves a number that was fixed', () => {
    const pace = new Pace(10, 40);
    expect(raises(pace, 100)).toEqual([]);
    expect(pace.mustFallBack(1000, 30, 0)).toBe(false);
    expect(pace.prefetch).toBe(40);
  });
});

function raised(): Pace {
  const pace = new Pace(10, 'auto');
  raises(pace, 10, { until: 900 });
  expect(pace.prefetch).toBeGreaterThan(10);
  return pace;
}
