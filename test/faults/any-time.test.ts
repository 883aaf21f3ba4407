/** A job for "in 37 s" among many others, while the broker goes down and comes back. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { connect } from 'amqplib';
import { type Client, createClient } from 'warren';
import type { Broker } from '../../src/broker/broker.ts';
import { createRabbitBroker } from '../../src/broker/rabbitmq.ts';
import { applyTopology } from '../../topology/declarer.ts';
import { namesFor } from '../../topology/names.ts';
import { planTopology } from '../../topology/plan.ts';
import { type PrivateBroker, startPrivateBroker, untilNewQueuesSurvive } from '../support/broker.ts';
import { until } from '../support/until.ts';

/** `npm run faults:time` does both with nothing else beside; in the suite tests of other files take the processor, too. */
const FULL = process.env.WARREN_FAULTS === 'full';
const ENDINGS = FULL ? (['stop', 'kill'] as const) : (['kill'] as const);
/** Beyond what RabbitMQ's own delays are late on this machine meanwhile. */
const LATE_MS = FULL ? 300 : 1500;
const OURS = [0, 1, 2, 3, 4];
/** By then ours have made their first hop. A broker that is away for longer holds them up itself. */
const FIRST_HOP_MS = 32_000;
/**
 * The others, ten thousand at full length: many that wait through it all, and some that fall due before ours and after it. These come
 * when the broker is back: what is under way between two levels while a broker starts, RabbitMQ may offer again only
 * after 180 s, and it holds up whatever is behind it. Those that wait first hop after 512 s, so that the rest of the
 * test is quiet and everything can be counted.
 */
const WAITING = { count: FULL ? 8_500 : 2_000, from: 600_000, over: 600_000 };
const SOON = { count: FULL ? 1_500 : 500, from: 3_000, until: 55_000 };

let node: PrivateBroker;
let broker: Broker;
let client: Client;

beforeAll(async () => {
  node = await startPrivateBroker();
  broker = createRabbitBroker({ urls: [node.url] });
  await broker.connect({ timeout: 60_000 });
  const wishes = { names: namesFor(), queues: [{ name: 'mail' }], delays: [], levels: true };
  await applyTopology(broker, planTopology(wishes));
  client = await createClient({ url: node.url, maxInFlight: 1000, deadline: '120s' });
  await untilNewQueuesSurvive(node);
}, 240_000);

afterAll(async () => {
  await client?.close();
  await broker?.close(1_000);
  await node?.remove();
}, 120_000);

it.each(ENDINGS)(
  'arrives 37 s later, after the broker was restarted (%s), and of the others each once and none early',
  async (how) => {
    const due = new Map<string, number>();
    const arrived = new Map<string, number[]>();
    const subscription = broker.subscribe('mail', {
      prefetch: 500,
      onDelivery(delivery) {
        const id = String(delivery.properties.messageId);
        arrived.set(id, [...(arrived.get(id) ?? []), Date.now()]);
        delivery.ack();
      },
    });
    const schedule = async (id: string, at: number) => {
      due.set(id, at);
      await client.enqueue('Mail', null, { queue: 'mail', at: new Date(at), id });
    };
    const began = Date.now();
    await scheduleAll(WAITING.count, (n) =>
      schedule(`${how}, waiting ${n}`, began + WAITING.from + Math.floor(n * WAITING.over)),
    );
    const asked = Date.now();
    await Promise.all(
      OURS.map((n) => client.enqueue('Mail', null, { queue: 'mail', in: '37s', id: `${how} ${n}` })),
    );
    await node[how]();
    await node.start();
    const down = Date.now() - asked;
    await untilAllQueuesAreLed();
    await using lateness = await watchLateness();
    const back = Date.now() - asked;
    const span = Math.max(0, SOON.until - back - SOON.from);
    await scheduleAll(SOON.count, (n) =>
      schedule(`${how}, soon ${n}`, asked + back + SOON.from + Math.floor(n * span)),
    );

    const waited = () => OURS.map((n) => (arrived.get(`${how} ${n}`)?.[0] ?? Number.NaN) - asked);
    await until(() => !waited().some(Number.isNaN), { what: 'the jobs for in 37 s', within: 240_000 });
    // Three hops, and the delivery.
    const allowed = back < FIRST_HOP_MS ? LATE_MS + 4 * lateness.worst : Number.POSITIVE_INFINITY;
    for (const ms of waited()) {
      expect(ms).toBeGreaterThanOrEqual(37_000);
      expect(ms).toBeLessThan(37_000 + allowed);
    }
    let counts = {};
    const count = async () => (counts = { arrived: arrived.size, waiting: await onLevels() });
    await until(async () => (await count()).arrived === SOON.count + OURS.length, {
      what: 'all that were to come',
      within: 240_000,
      every: 500,
    });
    await until(async () => (await count()).waiting === WAITING.count, { what: 'all that wait', every: 500 });
    expect(counts).toEqual({ arrived: SOON.count + OURS.length, waiting: WAITING.count });
    const late = [...due]
      .filter(([id]) => arrived.has(id))
      .map(([id, at]) => (arrived.get(id)?.[0] ?? 0) - at)
      .sort((a, b) => a - b);
    expect(late).toHaveLength(SOON.count);
    expect(late[0]).toBeGreaterThanOrEqual(0);
    expect([...arrived.values()].filter((times) => times.length > 1)).toEqual([]);
    console.log(
      `${node.series} ${how}: broker away ${down} ms; in 37 s came after ${waited().join(', ')} ms; ` +
        `${late.length} others late p50 ${late[late.length >> 1]} max ${late.at(-1)} ms, ` +
        `a bare queue's messages at most ${lateness.worst} ms; the rest waits`,
    );
    await subscription.close(5_000);
    await clear();
  },
  900_000,
);

/** `schedule` gets numbers from 0 to 1. */
async function scheduleAll(count: number, schedule: (n: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, n) => schedule(n / count)));
}

const LEVELS = Array.from({ length: 28 }, (_, level) => namesFor().level(level));

async function onLevels(): Promise<number> {
  let waiting = 0;
  await broker.admin(async (channel) => {
    for (const level of LEVELS) waiting += (await channel.checkQueue(level)).ready;
  });
  return waiting;
}

/** A broker that has just started takes connections before each of its queues has elected a leader. */
async function untilAllQueuesAreLed(): Promise<void> {
  const isQuorum = 'amqqueue:get_type(Q) =:= rabbit_quorum_queue';
  const ask = `[{ok, _, _} = ra:members(amqqueue:get_pid(Q), 5000) || Q <- rabbit_amqqueue:list(), ${isQuorum}], ok.`;
  await until(async () => (await node.eval(ask)) === 'ok', {
    what: 'a leader of each queue',
    within: 120_000,
    every: 200,
  });
}

/** How late RabbitMQ and this process are with nothing of ours: messages through a bare queue with a TTL of a second. */
async function watchLateness(): Promise<{ readonly worst: number } & AsyncDisposable> {
  const connection = await connect(node.url);
  connection.on('error', () => {});
  const channel = await connection.createChannel();
  const type = { 'x-queue-type': 'quorum' };
  const delay = { 'x-message-ttl': 1000, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'bare' };
  await channel.assertQueue('bare', { arguments: type });
  await channel.assertQueue('bare-1s', { arguments: { ...type, ...delay } });
  let worst = 0;
  const note = (sent: number) => (worst = Math.max(worst, Date.now() - sent - 1000));
  await channel.consume('bare', (message) => message && note(Number(message.content)), { noAck: true });
  const timer = setInterval(() => channel.sendToQueue('bare-1s', Buffer.from(`${Date.now()}`)), 200);
  return {
    get worst() {
      return worst;
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await connection.close();
    },
  };
}

async function clear(): Promise<void> {
  await node.eval('[rabbit_amqqueue:purge(Q) || Q <- rabbit_amqqueue:list()].');
}
