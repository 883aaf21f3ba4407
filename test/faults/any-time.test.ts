/** A job for "in 37 s" among ten thousand others, while the broker goes down and comes back. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type Client, createClient } from 'warren';
import type { Broker } from '../../src/broker/broker.ts';
import { createRabbitBroker } from '../../src/broker/rabbitmq.ts';
import { applyTopology } from '../../topology/declarer.ts';
import { namesFor } from '../../topology/names.ts';
import { planTopology } from '../../topology/plan.ts';
import { type PrivateBroker, startPrivateBroker, untilNewQueuesSurvive } from '../support/broker.ts';
import { until } from '../support/until.ts';

const OTHERS = 10_000;
/** `npm run faults:time` does both with nothing else beside; in the suite tests of other files take the processor, too. */
const FULL = process.env.WARREN_FAULTS === 'full';
const ENDINGS = FULL ? (['stop', 'kill'] as const) : (['kill'] as const);
const LATE_MS = FULL ? 300 : 1500;
/** The others fall due over so many seconds, the first and last of them before and after ours. */
const OVER_S = 600;

let node: PrivateBroker;
let broker: Broker;
let client: Client;

beforeAll(async () => {
  node = await startPrivateBroker();
  broker = createRabbitBroker({ urls: [node.url] });
  await broker.connect({ timeout: 10_000 });
  const wishes = { names: namesFor(), queues: [{ name: 'mail' }], delays: [], levels: true };
  await applyTopology(broker, planTopology(wishes));
  client = await createClient({ url: node.url, maxInFlight: 1000 });
  await untilNewQueuesSurvive();
});

afterAll(async () => {
  await client?.close();
  await broker?.close(1_000);
  await node?.remove();
});

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
    const began = Date.now();
    await Promise.all(Array.from({ length: OTHERS }, (_, n) => scheduleOther(n, began, due)));
    const asked = Date.now();
    await Promise.all(
      [0, 1, 2, 3, 4].map((n) =>
        client.enqueue('Mail', null, { queue: 'mail', in: '37s', id: `${how} ${n}` }),
      ),
    );
    await node[how]();
    await node.start();
    const down = Date.now() - asked;
    await until(() => arrived.has(`${how} 4`), { what: 'the job for in 37 s', within: 60_000 });
    for (const n of [0, 1, 2, 3, 4]) {
      const waited = (arrived.get(`${how} ${n}`)?.[0] ?? 0) - asked;
      expect(waited).toBeGreaterThanOrEqual(37_000);
      expect(waited).toBeLessThan(37_000 + LATE_MS);
    }
    await until(async () => arrived.size + (await onLevels()) === OTHERS + 5, {
      what: 'all the others, come or waiting',
      within: 30_000,
      every: 500,
    });
    const late = [...due]
      .filter(([id]) => arrived.has(id))
      .map(([id, at]) => (arrived.get(id)?.[0] ?? 0) - at)
      .sort((a, b) => a - b);
    expect(late[0]).toBeGreaterThanOrEqual(0);
    expect([...arrived.values()].filter((times) => times.length > 1)).toEqual([]);
    console.log(
      `${node.series} ${how}: broker away ${down} ms; in 37 s came after ` +
        `${[0, 1, 2, 3, 4].map((n) => (arrived.get(`${how} ${n}`)?.[0] ?? 0) - asked).join(', ')} ms; ` +
        `${late.length} others late p50 ${late[late.length >> 1]} max ${late.at(-1)} ms, the rest waits`,
    );
    await subscription.close(5_000);
    await clear();
  },
  180_000,
);

const LEVELS = Array.from({ length: 28 }, (_, level) => namesFor().level(level));

async function onLevels(): Promise<number> {
  let waiting = 0;
  await broker.admin(async (channel) => {
    for (const level of LEVELS) waiting += (await channel.checkQueue(level)).ready;
  });
  return waiting;
}

async function clear(): Promise<void> {
  await node.ctl('eval', '[rabbit_amqqueue:purge(Q) || Q <- rabbit_amqqueue:list()].');
}

async function scheduleOther(n: number, began: number, due: Map<string, number>): Promise<void> {
  const at = began + 20_000 + Math.floor((n / OTHERS) * OVER_S * 1000);
  const id = `other ${began} ${n}`;
  due.set(id, at);
  await client.enqueue('Mail', null, { queue: 'mail', at: new Date(at), id });
}
