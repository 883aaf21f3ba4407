/** Promise 3 where the broker loses its patience: it waits only so long for an ack (`consumer_timeout`). */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Job, type JobContext, type Runtime, type RuntimeOptions } from 'warren';
import {
  amqpUrl,
  canStartBrokers,
  NO_BROKERS,
  type PrivateBroker,
  series,
  startPrivateBroker,
} from '../support/broker.ts';
import { startRuntime } from '../support/runtime.ts';
import { describeWhere } from '../support/tools.ts';
import { until } from '../support/until.ts';

let runs: { attempt: number; aborted: unknown }[] = [];
let open: () => void = () => {};
let gate = Promise.resolve();

/** Runs until the gate opens; one that heeds its signal, until that aborts. */
class Long extends Job<{ heeds?: boolean }> {
  static override queue = 'long';
  static override retry = { attempts: 2, backoff: ['300ms'] };
  async perform({ heeds }: { heeds?: boolean }, { attempt, signal }: JobContext) {
    const run = { attempt, aborted: undefined as unknown };
    runs.push(run);
    const aborted = new Promise((_, reject) => {
      signal.addEventListener('abort', () => {
        run.aborted = (signal.reason as Error).name;
        if (heeds) reject(signal.reason);
      });
    });
    await Promise.race([gate, aborted]);
  }
}

class Short extends Job<number> {
  static override queue = 'short';
  perform() {}
}

function closeGate(): void {
  runs = [];
  gate = new Promise((resolve) => {
    open = resolve;
  });
}

const events = (runtime: Runtime, ...names: Parameters<Runtime['on']>[0][]) => {
  const seen: string[] = [];
  for (const name of names) runtime.on(name, () => void seen.push(name));
  return seen;
};

/** 4.3 is asked by the consumer itself; before that the whole broker has to be told, and looks once a tick. */
const asks = series === '4.3';
/** Long enough for a machine that is busy: a run that begins late, by more than a part of it, is not told the first time. */
const PATIENCE_MS = 4_000;

/** For channels opened from now on; the interval of the looks is no key of rabbitmq.conf. */
async function impatient(): Promise<PrivateBroker> {
  const broker = await startPrivateBroker();
  await broker.eval(
    `[application:set_env(rabbit, K, V) || {K, V} <- [{consumer_timeout, ${PATIENCE_MS}}, {channel_tick_interval, 500}]].`,
  );
  return broker;
}

const able = asks || (await canStartBrokers());
describeWhere(able, NO_BROKERS)('a job that runs longer than the broker waits for its ack', () => {
  let broker: PrivateBroker | undefined;
  let options: Partial<RuntimeOptions>;
  let clientUrl: string;
  beforeAll(async () => {
    if (!asks) broker = await impatient();
    clientUrl = broker?.url ?? amqpUrl();
    options = { url: clientUrl, ...(asks ? { ackTimeout: PATIENCE_MS } : {}) };
  }, 240_000);
  afterAll(async () => broker?.remove());

  const start = (more: Partial<RuntimeOptions> = {}) =>
    startRuntime([Long, Short], { ...options, ...more }, { clientUrl });

  it('is told so by its signal; where it goes on all the same it is waited for, and settled once', async () => {
    closeGate();
    await using started = await start();
    const { runtime, client } = started;
    const seen = events(runtime, 'ack.timed-out', 'consumer.detached', 'delivery.redelivered');
    const ends = events(runtime, 'job.succeeded', 'settlement.stale');
    const told = new Promise((resolve) => runtime.on('ack.timed-out', resolve));
    const redelivered: unknown[] = [];
    runtime.on('delivery.redelivered', (event) => void redelivered.push(event));
    const { id } = await client.enqueue(Long, {});
    expect(await told).toEqual({ queue: 'long', afterMs: PATIENCE_MS, ids: [id] });
    const isBack = () => seen.at(-1) === 'delivery.redelivered' && seen.includes('ack.timed-out');
    await until(isBack, { what: 'its message to be back' });
    open();
    await until(() => ends.includes('job.succeeded'), { what: 'it to be done' });
    // Unless this machine stood still so long that the broker lost its patience with what came back, too.
    const acked = isBack();
    expect(await started.stop()).toBe(0);
    expect(ends.filter((name) => acked || name !== 'settlement.stale')).toEqual(['job.succeeded']);
    expect(runs).toEqual([{ attempt: 1, aborted: 'AckTimeoutError' }]);
    const losses = seen.filter((name) => name !== 'delivery.redelivered');
    expect([losses[0], new Set(losses)]).toEqual([
      'consumer.detached',
      new Set(['consumer.detached', 'ack.timed-out']),
    ]);
    for (const event of redelivered) expect(event).toEqual({ queue: 'long', id });
  });

  it('spends an attempt where it stops for its signal; the consumer is back, other queues never noticed', async () => {
    closeGate();
    await using started = await start();
    const { runtime, client } = started;
    const detached: string[] = [];
    runtime.on('consumer.detached', ({ queue }) => void detached.push(queue));
    const seen = events(runtime, 'attempt.failed', 'job.retried', 'job.dead');
    const shorts = events(runtime, 'job.succeeded');
    const dead = new Promise((resolve) => runtime.on('job.dead', resolve));
    const { id } = await client.enqueue(Long, { heeds: true });
    await until(() => runs.some(({ aborted }) => aborted), { what: 'the broker to lose its patience' });
    await client.enqueue(Short, 1);
    await until(() => shorts.length === 1, { what: 'the other queue’s job' });
    expect(await dead).toMatchObject({
      id,
      attempt: 2,
      reason: 'attempts-exhausted',
      error: { name: 'AckTimeoutError' },
    });
    expect(runs.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(seen).toEqual(['attempt.failed', 'job.retried', 'attempt.failed', 'job.dead']);
    expect(new Set(detached)).toEqual(new Set(['long']));
    expect(await started.stop()).toBe(0);
  });

  it('leaves a younger run beside it in peace, and acks it on the message that comes back', async () => {
    closeGate();
    await using started = await start();
    const { runtime, client } = started;
    const losses = events(runtime, 'consumer.detached');
    const told = events(runtime, 'ack.timed-out');
    const done: string[] = [];
    runtime.on('job.succeeded', ({ id }) => void done.push(id));
    const handedOut = new Map<string, number>();
    runtime.on('delivery.redelivered', ({ id }) => void handedOut.set(id, performance.now()));
    const old = await client.enqueue(Long, {});
    // It goes on all the same, so it is told of each time from now on.
    await until(() => told.length > 0, { what: 'the broker to lose its patience' });
    const heldFor = () => (performance.now() - (handedOut.get(old.id) ?? Number.NaN)) / PATIENCE_MS;
    let young = '';
    let before: number;
    do {
      // Soon the broker loses it again, with what has only just begun then.
      await until(() => heldFor() > 0.65 && heldFor() < 0.8, { every: 5, what: 'the moment to begin' });
      before = losses.length;
      const count = runs.length;
      young = (await client.enqueue(Long, {})).id;
      await until(() => runs.length > count, { what: 'it to begin' });
    } while (losses.length > before);
    const ids = await new Promise((resolve) => runtime.on('ack.timed-out', (event) => resolve(event.ids)));
    const begun = runs.length;
    expect(runs.at(-1)).toEqual({ attempt: 1, aborted: undefined });
    expect(runs[0]).toEqual({ attempt: 1, aborted: 'AckTimeoutError' });
    expect(ids).toContain(old.id);
    expect(ids).not.toContain(young);
    open();
    await until(() => done.includes(young), { what: 'it to be done' });
    await until(() => handedOut.has(young), { what: 'its message to come back' });
    expect(await started.stop()).toBe(0);
    expect(runs).toHaveLength(begun);
    expect(done.filter((id) => id === young)).toHaveLength(1);
  });
});

it('warns at the start of jobs whose timeout is longer than that', async () => {
  class Patient extends Job {
    static override queue = 'patient';
    static override timeout = '31m';
    perform() {}
  }
  const warned = async (ackTimeout?: string) => {
    await using started = await startRuntime(
      [Patient, Short],
      ackTimeout ? { ackTimeout } : {},
      {},
      (runtime) => runtime.on('ack.may-time-out', (event) => void seen.push(event)),
    );
    return started.stop();
  };
  const seen: object[] = [];
  await warned('1h');
  expect(seen).toEqual([]);
  await warned();
  expect(seen).toEqual([{ job: 'Patient', queue: 'patient', timeoutMs: 1_860_000, ackTimeoutMs: 1_800_000 }]);
});
