/** Two workers and one Redis: a job whose effects must happen once, through what makes jobs run twice. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Job, type JobContext, type Runtime } from 'warren';
import { type IdempotentOptions, idempotent, redisStore } from 'warren/idempotency';
import { startProxy } from '../support/proxy.ts';
import { type RedisTestClient, startRedis, type TestRedis } from '../support/redis.ts';
import { startRuntime } from '../support/runtime.ts';
import { describeWith } from '../support/tools.ts';
import { until } from '../support/until.ts';

let runs: string[] = [];
let open: () => void = () => {};
let gate = Promise.resolve();

class Charge extends Job {
  static override queue = 'charge';
  static override idempotent = true;
  static override retry = { attempts: 1, delays: ['1s', '6s'] };
  async perform(_: unknown, { id }: JobContext) {
    runs.push(id);
    await gate;
  }
}

function closeGate(): void {
  runs = [];
  gate = new Promise((resolve) => {
    open = resolve;
  });
}

function count(runtime: Runtime) {
  const seen = { succeeded: 0, snoozed: 0 };
  runtime.on('job.succeeded', () => void seen.succeeded++);
  runtime.on('job.snoozed', () => void seen.snoozed++);
  return seen;
}

describeWith('redis-server')('an idempotent job of two workers', () => {
  let redis: TestRedis;
  let client: RedisTestClient;
  beforeAll(async () => {
    redis = await startRedis();
    client = await redis.client();
  });
  afterAll(async () => redis[Symbol.asyncDispose]());

  /**
   * As two processes would: a store, an owner and a claim of its own each. A claim outlives a pause of this process or of
   * Redis that a busy machine makes: one that expires is another worker's, and so is the job then.
   */
  const middleware = (prefix: string, times: IdempotentOptions = { ttl: '6s', answerWithin: '5s' }) => [
    idempotent(redisStore(client, { prefix }), times),
  ];

  it('is not run by the second while the first, cut off from its broker, is still at it', async () => {
    closeGate();
    await using proxy = await startProxy();
    await using first = await startRuntime([Charge], { url: proxy.url, middleware: middleware('cut:') });
    const { namespace, runtime } = first;
    const { id } = await first.client.enqueue(Charge, null);
    await until(() => runs.length === 1, { what: 'the job to run' });
    await using second = await startRuntime([Charge], { namespace, middleware: middleware('cut:') });
    const [one, two] = [count(runtime), count(second.runtime)];
    await proxy.refuse();
    await until(() => two.snoozed > 0, { what: 'the second worker to find it claimed' });
    open();
    await until(() => one.succeeded + two.succeeded === 2, { what: 'both to be through with it' });
    expect(runs).toEqual([id]);
    await proxy.resume();
  });

  it('is run once when it is enqueued twice, at the same time or later', async () => {
    closeGate();
    open();
    await using first = await startRuntime([Charge], { middleware: middleware('twice:') });
    const { namespace } = first;
    await using second = await startRuntime([Charge], { namespace, middleware: middleware('twice:') });
    const [one, two] = [count(first.runtime), count(second.runtime)];
    const ids = Array.from({ length: 20 }, (_, order) => `order-${order}`);
    const enqueueAll = () => Promise.all(ids.map((id) => first.client.enqueue(Charge, null, { id })));
    await Promise.all([enqueueAll(), enqueueAll()]);
    await until(() => one.succeeded + two.succeeded === 40, { what: 'forty successes' });
    await enqueueAll();
    await until(() => one.succeeded + two.succeeded === 60, { what: 'sixty successes' });
    expect(runs.toSorted()).toEqual(ids.toSorted());
  });

  it('waits while Redis is away, without spending its only attempt, and runs when it is back', async () => {
    closeGate();
    open();
    const hasty = { ttl: '900ms', answerWithin: '300ms' };
    await using started = await startRuntime([Charge], { middleware: middleware('away:', hasty) });
    const seen = count(started.runtime);
    redis.pause();
    const { id } = await started.client.enqueue(Charge, null);
    await until(() => seen.snoozed > 0, { what: 'it to snooze' });
    expect(runs).toEqual([]);
    redis.resume();
    await until(() => seen.succeeded === 1, { within: 60_000, what: 'it to be done' });
    expect(runs).toEqual([id]);
  });
});
