import { describe, expect, it } from '@jest/globals';
import { cached } from '../../src/observe/cached.ts';

const TIMES = { everyMs: 1000, waitMs: 20, keepMs: 30_000 };

/** A look whose answer the test gives, and a clock it turns. */
function setUp() {
  const world = { now: 0, looks: 0, answer: async (): Promise<number> => 1 };
  const get = cached(
    () => {
      world.looks += 1;
      return world.answer();
    },
    TIMES,
    () => world.now,
  );
  return { world, get };
}

describe('cached', () => {
  it('looks once for all who ask at the same time and shortly after', async () => {
    const { world, get } = setUp();
    expect(await Promise.all([get(), get()])).toEqual([1, 1]);
    world.now = 999;
    expect(await get()).toBe(1);
    expect(world.looks).toBe(1);
  });

  it('looks again later', async () => {
    const { world, get } = setUp();
    await get();
    world.now = 1000;
    world.answer = async () => 2;
    expect(await get()).toBe(2);
  });

  it('gives the last value when a look fails, until it is too old', async () => {
    const { world, get } = setUp();
    await get();
    world.answer = async () => {
      throw new Error('away');
    };
    world.now = 29_999;
    expect(await get()).toBe(1);
    world.now = 31_000;
    expect(await get()).toBeUndefined();
  });

  it('does not look more often because looks fail, also at once', async () => {
    const { world, get } = setUp();
    world.answer = () => {
      throw new Error('away');
    };
    expect([await get(), await get()]).toEqual([undefined, undefined]);
    expect(world.looks).toBe(1);
    world.now = 1000;
    world.answer = async () => 2;
    expect(await get()).toBe(2);
  });

  it('waits no longer than it may; what comes later is for those who ask later', async () => {
    const { world, get } = setUp();
    let arrive: (value: number) => void = () => {};
    world.answer = () =>
      new Promise((resolve) => {
        arrive = resolve;
      });
    expect(await get()).toBeUndefined();
    arrive(3);
    expect(await get()).toBe(3);
    expect(world.looks).toBe(1);
  });
});
