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
const ASKED = '2s';

/** For channels opened from now on; the interval of the looks is no key of rabbitmq.conf. */
async function impatient(): Promise<PrivateBroker> {
  const broker = await startPrivateBroker();
  await broker.ctl(
    'eval',
    '[application:set_env(rabbit, K, V) || {K, V} <- [{consumer_timeout, 2000}, {channel_tick_interval, 500}]].',
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
    options = { url: clientUrl, grace: '2s', ...(asks ? { ackTimeout: ASKED } : {}) };
  });
  afterAll(async () => broker?.remove());

  const start = (more: Partial<RuntimeOptions> = {}) =>
    startRuntime([Long, Short], { ...options, ...more }, { clientUrl });

  it('is told so by its signal; where it goes on all the same it is waited for, and settled once', async () => {
    closeGate();
    await using started = await start();
    const { runtime, client } = started;
    const seen = events(runtime, 'ack.timed-out', 'job.succeeded', 'settlement.stale', 'consumer.detached');
    const told = new Promise((resolve) => runtime.on('ack.timed-out', resolve));
    const { id } = await client.enqueue(Long, {});
    expect(await told).toEqual({ queue: 'long', afterMs: 2_000, ids: [id] });
    const back = new Promise((resolve) => runtime.on('delivery.redelivered', resolve));
    expect(await back).toEqual({ queue: 'long', id });
    expect(runs).toEqual([{ attempt: 1, aborted: 'AckTimeoutError' }]);
    open();
    await until(() => seen.includes('job.succeeded'), { what: 'it to be done' });
    expect(await started.stop()).toBe(0);
    // The message that came back may have been held for too long in its turn.
    const [first, second, ...rest] = seen.filter((name, place) => !seen.slice(0, place).includes(name));
    expect([first, second, rest]).toEqual(['consumer.detached', 'ack.timed-out', ['job.succeeded']]);
    expect(seen.filter((name) => name === 'job.succeeded')).toHaveLength(1);
    expect(runs).toHaveLength(1);
  });

  it('spends an attempt where it stops for its signal; the consumer is back, other queues never noticed', async () => {
    closeGate();
    await using started = await start();
    const { runtime, client } = started;
    const detached: string[] = [];
    runtime.on('consumer.detached', ({ queue }) => void detached.push(queue));
    const seen = events(runtime, 'attempt.failed', 'job.retried', 'job.dead');
    const shorts = events(runtime, 'job.succeeded');
    const { id } = await client.enqueue(Long, { heeds: true });
    await until(() => runs.some(({ aborted }) => aborted), { what: 'the broker to lose its patience' });
    await client.enqueue(Short, 1);
    await until(() => shorts.length === 1, { what: 'the other queue’s job' });
    const dead = new Promise((resolve) => runtime.on('job.dead', resolve));
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
    const told = new Promise((resolve) => runtime.on('ack.timed-out', resolve));
    await client.enqueue(Long, { heeds: true });
    await until(() => runs.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 1_400)); // that much younger
    const { id } = await client.enqueue(Long, {});
    const done = new Promise<{ id: string }>((resolve) => runtime.on('job.succeeded', resolve));
    await told;
    expect(runs.map(({ aborted }) => aborted)).toEqual(['AckTimeoutError', undefined]);
    open();
    expect(await done).toMatchObject({ id, attempt: 1 });
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
