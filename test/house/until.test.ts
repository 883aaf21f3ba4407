import { describe, expect, it } from '@jest/globals';
import { until } from '../support/until.ts';

describe('until', () => {
  it('gives the first truthy value', async () => {
    let looks = 0;
    expect(await until(() => ++looks > 2 && looks, { every: 1 })).toBe(3);
  });

  it('says what it waited for, and what it last saw', async () => {
    const waiting = until(() => Promise.reject(new Error('nobody home')), {
      within: 5,
      every: 1,
      what: 'a guest',
    });
    await expect(waiting).rejects.toThrow('waited 5 ms for a guest; last seen: nobody home');
  });

  it('runs where modules know their own place', () => {
    expect(import.meta.url).toMatch(/^file:.*until\.test\.ts$/);
    expect(import.meta.dirname).toMatch(/house$/);
  });
});
