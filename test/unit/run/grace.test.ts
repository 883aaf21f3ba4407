import { describe, expect, it } from '@jest/globals';
import { planGrace } from '../../../src/run/grace.ts';

describe('how a grace period is spent', () => {
  it('of 30 s: asks jobs to stop at 23 s, gives them back at 28 s, has closed everything by 29.8 s', () => {
    expect(planGrace(1000, 30_000)).toEqual({
      abortAt: 24_000,
      endAt: 29_000,
      settleMs: 1_200,
      closedBy: 30_800,
    });
  });

  it.each([0, 100, 1_000, 10_000])('of %d ms: in order and never longer', (graceMs) => {
    const { abortAt, endAt, settleMs, closedBy } = planGrace(0, graceMs);
    expect(abortAt).toBeGreaterThanOrEqual(0);
    expect(abortAt).toBeLessThanOrEqual(endAt);
    expect(endAt + settleMs).toBeLessThanOrEqual(closedBy);
    expect(closedBy).toBeLessThanOrEqual(graceMs);
  });
});
