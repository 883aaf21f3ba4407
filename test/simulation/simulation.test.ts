/** The promises under thousands of random histories. docs/simulation.md says what is real here and what is not. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { check } from './check.ts';
import { history } from './history.ts';
import { simulate } from './world.ts';

/** The same histories each time, so that a red run is red again; `npm run simulate` tries others. */
const SEED = 3;
const HISTORIES = 300;

describe('the simulation', () => {
  it(`finds every promise kept in ${HISTORIES} histories`, async () => {
    const { broken, totals } = await check({ runs: HISTORIES, seed: SEED });
    expect(broken).toBeUndefined();
    expect(totals.histories).toBe(HISTORIES);
    // Histories in which nothing happens would keep every promise, too.
    expect(totals.performs).toBeGreaterThan(HISTORIES * 3);
    expect(totals.steps).toBeGreaterThan(HISTORIES * 100);
  }, 180_000);

  it('tells the same history twice to the letter', async () => {
    for (const one of fc.sample(history, { numRuns: 20, seed: SEED })) {
      const [first, second] = [await simulate(one, { traced: true }), await simulate(one, { traced: true })];
      expect(first.trace.length).toBeGreaterThan(1);
      expect(second).toEqual(first);
    }
  });

  it('gives the clocks back', async () => {
    const before = [globalThis.setTimeout, globalThis.performance, Date.now];
    const [one] = fc.sample(history, { numRuns: 1, seed: SEED });
    if (one) await simulate(one);
    expect([globalThis.setTimeout, globalThis.performance, Date.now]).toEqual(before);
  });
});
