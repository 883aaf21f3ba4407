/** One contract for every store. The one on Redis is tested on a real server. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type IdempotencyStore, memoryStore, redisStore } from 'warren/idempotency';
import { type RedisTestClient, startRedis, type TestRedis } from '../../support/redis.ts';
import { describeWith } from '../../support/tools.ts';
import { until } from '../../support/until.ts';

const MINUTE = 60_000;

function contract(makeStore: () => IdempotencyStore): void {
  let store: IdempotencyStore;
  let keys = 0;
  const newKey = () => `key-${++keys}`;
  beforeAll(() => {
    store = makeStore();
  });

  it('gives a free key to the first of many who ask at once', async () => {
    const key = newKey();
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, owner) => store.claim(key, `owner-${owner}`, MINUTE)),
    );
    expect(answers.filter(({ state }) => state === 'claimed')).toHaveLength(1);
    for (const answer of answers.filter(({ state }) => state !== 'claimed')) {
      expect(answer).toMatchObject({ state: 'busy' });
      expect((answer as { leftMs: number }).leftMs).toBeGreaterThan(MINUTE / 2);
      expect((answer as { leftMs: number }).leftMs).toBeLessThanOrEqual(MINUTE);
    }
  });

  it('is done for all once it is completed, its own owner included', async () => {
    const key = newKey();
    await store.claim(key, 'one', MINUTE);
    expect(await store.complete(key, 'one', MINUTE)).toBe(true);
    expect(await store.claim(key, 'two', MINUTE)).toEqual({ state: 'done' });
    expect(await store.claim(key, 'one', MINUTE)).toEqual({ state: 'done' });
    expect(await store.release(key, 'one')).toBe(false);
    expect(await store.claim(key, 'two', MINUTE)).toEqual({ state: 'done' });
  });

  it('takes a second completion of the same owner for the first one, whose answer was lost', async () => {
    const key = newKey();
    await store.claim(key, 'one', MINUTE);
    await store.complete(key, 'one', MINUTE);
    expect(await store.complete(key, 'one', MINUTE)).toBe(true);
  });

  it('is free again when its owner releases it, and only then', async () => {
    const key = newKey();
    await store.claim(key, 'one', MINUTE);
    expect(await store.release(key, 'two')).toBe(false);
    expect(await store.claim(key, 'two', MINUTE)).toMatchObject({ state: 'busy' });
    expect(await store.release(key, 'one')).toBe(true);
    expect(await store.claim(key, 'two', MINUTE)).toEqual({ state: 'claimed' });
  });

  it('expires where nobody renews it, and lives on where its owner claims again', async () => {
    const [dead, alive] = [newKey(), newKey()];
    await store.claim(dead, 'one', 150);
    await store.claim(alive, 'one', 150);
    expect(await store.claim(alive, 'one', MINUTE)).toEqual({ state: 'claimed' });
    await until(async () => (await store.claim(dead, 'two', MINUTE)).state === 'claimed');
    expect(await store.claim(alive, 'two', MINUTE)).toMatchObject({ state: 'busy' });
  });

  it('lets an owner who lost the key neither complete nor release what is another’s', async () => {
    const key = newKey();
    await store.claim(key, 'paused', 1);
    await until(async () => (await store.claim(key, 'other', MINUTE)).state === 'claimed');
    expect(await store.complete(key, 'paused', MINUTE)).toBe(false);
    expect(await store.release(key, 'paused')).toBe(false);
    expect(await store.claim(key, 'third', MINUTE)).toMatchObject({ state: 'busy' });
    expect(await store.complete(key, 'other', MINUTE)).toBe(true);
    expect(await store.complete(key, 'paused', MINUTE)).toBe(false);
  });

  it('records what was done under a claim that expired and that nobody took', async () => {
    const key = newKey();
    await store.claim(key, 'slow', 1);
    const claimed = Date.now();
    await until(() => Date.now() > claimed + 1); // more than a millisecond has passed
    expect(await store.complete(key, 'slow', MINUTE)).toBe(true);
    expect(await store.claim(key, 'two', MINUTE)).toEqual({ state: 'done' });
  });

  it('forgets what was done after its time', async () => {
    const key = newKey();
    await store.claim(key, 'one', MINUTE);
    await store.complete(key, 'one', 100);
    await until(async () => (await store.claim(key, 'two', MINUTE)).state === 'claimed');
  });
}

describe('the store in memory', () => {
  contract(() => memoryStore());

  it('sweeps out what has expired, and nothing else', async () => {
    let now = 0;
    const store = memoryStore({ now: () => now });
    for (let job = 0; job < 20_000; job++) {
      now += 10;
      await store.claim(`job-${job}`, 'one', 1_000);
      await store.complete(`job-${job}`, 'one', 1_000);
    }
    expect(await store.claim('job-19999', 'two', 1)).toEqual({ state: 'done' });
    expect(await store.claim('job-0', 'two', 1)).toEqual({ state: 'claimed' });
  });
});

describeWith('redis-server')('the store on Redis', () => {
  let redis: TestRedis;
  let client: RedisTestClient;
  beforeAll(async () => {
    redis = await startRedis();
    client = await redis.client();
  });
  afterAll(async () => redis[Symbol.asyncDispose]());

  contract(() => redisStore(() => client));

  it('keeps one string a key, under its prefix, that expires by itself', async () => {
    const store = redisStore(client, { prefix: 'shop:' });
    await store.claim('order-17', 'one', MINUTE);
    expect(await client.keys('shop:*')).toEqual(['shop:order-17']);
    expect(await client.pTTL('shop:order-17')).toBeGreaterThan(0);
  });

  it('connects at the first claim, and again where that failed', async () => {
    let tries = 0;
    const store = redisStore(async () => {
      tries += 1;
      if (tries === 1) throw new Error('no such host');
      return client;
    });
    expect(tries).toBe(0);
    await expect(store.claim('late', 'one', MINUTE)).rejects.toThrow('no such host');
    expect(await store.claim('late', 'one', MINUTE)).toEqual({ state: 'claimed' });
    expect(await store.claim('late', 'one', MINUTE)).toEqual({ state: 'claimed' });
    expect(tries).toBe(2);
  });
});
