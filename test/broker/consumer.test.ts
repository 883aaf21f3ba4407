import { isDeepStrictEqual } from 'node:util';
import { afterAll, describe, expect, it } from '@jest/globals';
import type { Channel } from 'amqplib';
import { cancelsForLateAcks } from '../../src/broker/ack-timeout.ts';
import type { Delivery, SubscribeOptions, SubscriptionState } from '../../src/broker/broker.ts';
import { Connection } from '../../src/broker/connection.ts';
import { Consumer } from '../../src/broker/consumer.ts';
import { createRabbitBroker } from '../../src/broker/rabbitmq.ts';
import { parseServer } from '../../src/broker/server.ts';
import { amqpUrl } from '../support/broker.ts';
import { endsOfEachTest } from '../support/ends.ts';
import { testNamespace } from '../support/namespace.ts';
import { ownTime } from '../support/own-time.ts';
import { startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

const namespace = testNamespace();
const admin = createRabbitBroker({ urls: [amqpUrl()] });
const ends = endsOfEachTest();
let queues = 0;

afterAll(async () => {
  await admin.close(1000);
  await namespace.remove();
});

const QUORUM = { 'x-queue-type': 'quorum', 'x-delivery-limit': 1_000_000 };

async function declare(name = namespace.of(`consumer-${++queues}`)): Promise<string> {
  await admin.admin((channel) => channel.declareQueue({ name, arguments: QUORUM }));
  return name;
}

async function fill(queue: string, count: number): Promise<void> {
  await admin.connect({ timeout: 60_000 });
  await Promise.all(
    Array.from({ length: count }, (_, index) =>
      admin.publish({
        exchange: '',
        routingKey: queue,
        body: Buffer.from(`${index}`),
        properties: { messageId: `${index}`, headers: {} },
      }),
    ),
  );
}

/** A passive declare, which may say 0 of a queue that is slow to answer. */
function ready(queue: string): Promise<number> {
  return admin.admin(async (channel) => (await channel.checkQueue(queue)).ready);
}

/** What lies in a queue, looked at and put back. */
function contents(queue: string): Promise<string[]> {
  return admin.admin(async (channel) => {
    const found: string[] = [];
    for (let message = await channel.get(queue); message; message = await channel.get(queue))
      found.push(message.body.toString());
    return found;
  });
}

/** A connection whose channels the test may look at, and break. */
async function connection(url = amqpUrl()): Promise<{ connection: Connection; channels: Channel[] }> {
  const made = new Connection({
    role: 'consuming',
    servers: [parseServer(url)],
    heartbeat: 10,
    name: 'consumer.test',
    connectTimeoutMs: 10_000,
    random: Math.random,
    emit: () => {},
  });
  ends.push(() => made.close(500));
  const channels: Channel[] = [];
  const open = made.openChannel.bind(made);
  made.openChannel = async () => {
    const channel = await open();
    channels.push(channel);
    return channel;
  };
  made.open();
  await made.whenUp(60_000);
  return { connection: made, channels };
}

interface Consuming {
  consumer: Consumer;
  deliveries: Delivery[];
  states: SubscriptionState[];
  stale: { count: number };
}

function consume(on: Connection, queue: string, options: Partial<SubscribeOptions> = {}): Consuming {
  const deliveries: Delivery[] = [];
  const states: SubscriptionState[] = [];
  const stale = { count: 0 };
  const consumer = new Consumer(
    queue,
    {
      prefetch: 1000,
      onDelivery: (delivery) => void deliveries.push(delivery),
      onState: (state) => void states.push(state),
      ...options,
    },
    { connection: on, random: Math.random, onStale: () => void stale.count++ },
  );
  return { consumer, deliveries, states, stale };
}

const ids = (deliveries: readonly Delivery[]) => deliveries.map(({ body }) => body.toString());

/** The frames that settle, as they leave: `ack 5+` is a multiple ack. */
function settlements(channel: Channel): string[] {
  const sent: string[] = [];
  for (const verb of ['ack', 'nack'] as const) {
    const send = channel[verb].bind(channel) as (...args: unknown[]) => void;
    channel[verb] = (message: { fields: { deliveryTag: number } }, multiple?: boolean, requeue?: boolean) => {
      sent.push(`${verb} ${message.fields.deliveryTag}${multiple ? '+' : ''}${requeue === false ? '!' : ''}`);
      send(message, multiple, requeue);
    };
  }
  return sent;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}

describe('gathered acks', () => {
  async function ten() {
    const queue = await declare();
    await fill(queue, 10);
    const { connection: on, channels } = await connection();
    const consuming = consume(on, queue);
    await until(() => consuming.deliveries.length === 10, { what: 'ten deliveries' });
    const sent = settlements(channels[0] as Channel);
    const settle = async (verb: 'ack' | 'release' | 'reject', ...tags: number[]) => {
      for (const tag of tags) expect(consuming.deliveries[tag - 1]?.[verb]()).toBe(true);
    };
    const flushed = async () => {
      await turn();
      return sent.splice(0);
    };
    return { ...consuming, queue, settle, flushed };
  }

  it('a finished run is one frame, what lies above a gap is acked by itself, once', async () => {
    const { settle, flushed, consumer, queue } = await ten();
    settle('ack', 1, 2, 3);
    expect(await flushed()).toEqual(['ack 3+']);
    settle('ack', 7, 5, 9);
    expect(await flushed()).toEqual(['ack 7', 'ack 5', 'ack 9']);
    settle('ack', 4);
    expect(await flushed()).toEqual(['ack 4+']);
    settle('ack', 8, 6);
    expect(await flushed()).toEqual(['ack 8+']);
    settle('ack', 10);
    expect(await flushed()).toEqual(['ack 10+']);
    expect(await consumer.close(30_000)).toBe(true);
    expect(await contents(queue)).toEqual([]);
  });

  it('never acks early what is still running below', async () => {
    const { settle, flushed, consumer, queue } = await ten();
    settle('ack', 2, 3, 4, 5, 6, 7, 8, 9, 10);
    expect((await flushed()).every((frame) => !frame.includes('+'))).toBe(true);
    await consumer.close(30_000);
    await until(async () => (await ready(queue)) === 1, { what: 'the first to be back' });
    expect(await contents(queue)).toEqual(['0']);
  });

  it('what is given back or rejected splits a run', async () => {
    const { settle, flushed, consumer, queue } = await ten();
    settle('ack', 1, 2, 4, 5);
    settle('release', 3);
    expect(await flushed()).toEqual(['nack 3', 'ack 5+']);
    settle('release', 8, 6);
    settle('ack', 7);
    settle('reject', 9);
    // What came back is delivered again behind the rest.
    expect(await flushed()).toEqual(['nack 6', 'nack 8', 'nack 9!', 'ack 7+']);
    await consumer.close(30_000);
    await until(async () => (await ready(queue)) === 4, { what: '3, 6, 8 and 10 to be back' });
  });

  it('settles a delivery once', async () => {
    const { deliveries, flushed, consumer, queue } = await ten();
    const [first] = deliveries;
    expect([first?.ack(), first?.ack(), first?.release(), first?.reject()]).toEqual([
      true,
      false,
      false,
      false,
    ]);
    expect(await flushed()).toEqual(['ack 1+']);
    expect(first?.live).toBe(false);
    await consumer.close(30_000);
    await until(async () => (await ready(queue)) === 9, { what: 'nine to be back' });
  });
});

describe('losing the channel', () => {
  it('drops late settlements, counts them, and delivers again', async () => {
    const way = await startProxy();
    ends.push(() => way.close());
    const queue = await declare();
    await fill(queue, 20);
    const { connection: on } = await connection(way.url);
    const { deliveries, stale, states, consumer } = consume(on, queue);
    await until(() => deliveries.length === 20, { what: 'twenty deliveries' });
    const old = deliveries.splice(0);
    way.cut();
    await until(() => deliveries.length === 20, { what: 'all of them again' });
    expect(old.map((delivery) => [delivery.live, delivery.ack(), delivery.release()])).toEqual(
      Array(20).fill([false, false, false]),
    );
    expect(stale.count).toBe(20);
    expect(deliveries.every(({ redelivered, live }) => redelivered && live)).toBe(true);
    expect(states.map(({ state }) => state)).toEqual(['attached', 'detached', 'attached']);
    for (const delivery of deliveries) delivery.ack();
    expect(await consumer.close(30_000)).toBe(true);
    expect(await contents(queue)).toEqual([]);
  });

  it('counts what was settled in the turn in which the channel went', async () => {
    const queue = await declare();
    await fill(queue, 3);
    const { connection: on, channels } = await connection();
    const { deliveries, stale } = consume(on, queue);
    await until(() => deliveries.length === 3);
    expect(deliveries[0]?.ack()).toBe(true);
    (channels[0] as Channel).emit('close');
    expect(stale.count).toBe(1);
    expect(deliveries[1]?.live).toBe(false);
  });

  it('a channel that the broker closes is replaced alone', async () => {
    const queue = await declare();
    const other = await declare();
    await fill(queue, 5);
    const { connection: on, channels } = await connection();
    const bystander = consume(on, other);
    await until(() => bystander.consumer.attached);
    const { deliveries, states, consumer } = consume(on, queue);
    await until(() => deliveries.length === 5);
    const channel = channels.at(-1) as Channel;
    channel.ack({ fields: { deliveryTag: 99 } } as Parameters<Channel['ack']>[0]);
    await until(() => deliveries.length === 10, { what: 'the same five again' });
    expect(states[1]).toMatchObject({
      state: 'detached',
      reason: expect.stringContaining('unknown delivery tag'),
    });
    expect(bystander.states).toEqual([{ state: 'attached' }]);
    expect(on.isUp).toBe(true);
    await consumer.close(30_000);
  });

  it('a receiver that throws loses its channel, not the connection', async () => {
    const queue = await declare();
    await fill(queue, 1);
    const { connection: on } = await connection();
    let calls = 0;
    const { states } = consume(on, queue, {
      onDelivery(delivery) {
        if (++calls === 1) throw new Error('not now');
        delivery.ack();
      },
    });
    await until(() => calls === 2, { what: 'a second try' });
    expect(states[1]).toMatchObject({ state: 'detached', reason: expect.stringContaining('not now') });
    expect(on.isUp).toBe(true);
  });
});

describe('a missing queue', () => {
  it('deleted under its consumer, is declared and consumed again', async () => {
    const queue = await declare();
    const { connection: on, channels } = await connection();
    let missing = 0;
    const { deliveries, states, consumer } = consume(on, queue, {
      onMissing: async () => {
        if (++missing === 1) throw new Error('a first try that fails');
        await declare(queue);
      },
    });
    await until(() => consumer.attached);
    await admin.admin((channel) => channel.deleteQueue(queue));
    const attached = () => states.filter(({ state }) => state === 'attached').length;
    await until(() => attached() === 2, { what: 'it to be attached again' });
    expect(missing).toBe(2);
    await fill(queue, 1);
    await until(() => deliveries.length === 1);
    expect(attached()).toBe(2);
    expect(states[1]).toMatchObject({ reason: expect.stringContaining('cancelled the consumer') });
    // While 4.3 still deletes it, a try may end in 541 instead, which costs the connection; the next says 404.
    expect(states).toContainEqual({
      state: 'detached',
      reason: expect.stringContaining('NOT_FOUND - no queue'),
    });
    expect(channels.length).toBeGreaterThan(2);
  });

  it('put back at once, is taken for a late ack only by brokers that cancel for those', async () => {
    const queue = await declare();
    const { connection: on } = await connection();
    let taken = 0;
    const { states, consumer } = consume(on, queue, { onTakenBack: () => void taken++ });
    await until(() => consumer.attached);
    await admin.admin((channel) => channel.deleteQueue(queue));
    // 3.10 forgets the consumer, and does not say so, where this takes no time at all.
    await until(() => !consumer.attached, { what: 'the loss to be noticed', every: 1 });
    await declare(queue);
    await until(() => states.filter(({ state }) => state === 'attached').length === 2, {
      what: 'it to be back',
    });
    // A try that failed in between (the queue not there yet, or on 4.3 not yet gone) says what it was.
    const once = states.filter(({ state }) => state === 'detached').length === 1;
    expect(taken).toBe(cancelsForLateAcks(on.version) && once ? 1 : 0);
    expect(['3.10.8', '4.2.9', '4.3.0', '4.10.1', '5.0.0', undefined].map(cancelsForLateAcks)).toEqual([
      false,
      false,
      true,
      true,
      true,
      true,
    ]);
  });

  it('that stays missing is told once, and tried until it is given up', async () => {
    const { connection: on } = await connection();
    let missing = 0;
    const { states, consumer } = consume(on, namespace.of('never'), {
      onMissing: async () => void missing++,
    });
    await until(() => missing >= 3, { what: 'three tries' });
    expect(states).toHaveLength(1);
    expect(await consumer.close(30_000)).toBe(true);
    const tries = missing;
    await turn();
    expect(missing).toBe(tries);
  });
});

describe('another prefetch', () => {
  it('takes effect on what comes, and what is held stays', async () => {
    const queue = await declare();
    await fill(queue, 300);
    const { connection: on } = await connection();
    const { deliveries, consumer } = consume(on, queue, { prefetch: 10 });
    await until(() => deliveries.length === 10);
    consumer.setPrefetch(100);
    consumer.setPrefetch(50);
    // The new consumer has its own count, beside what the old one still holds.
    await until(() => deliveries.length === 60, { what: 'fifty more' });
    for (const delivery of deliveries.splice(0)) expect(delivery.ack()).toBe(true);
    await until(() => deliveries.length === 50, { what: 'the next fifty' });
    // Less is waited for: nothing comes while more than that is still held.
    consumer.setPrefetch(2);
    for (const delivery of deliveries.splice(1)) expect(delivery.ack()).toBe(true);
    await until(() => deliveries.length === 3, { what: 'two more beside the one that was kept' });
    for (const delivery of deliveries.splice(0)) expect(delivery.ack()).toBe(true);
    const seen: string[] = [];
    await until(
      () => {
        const batch = deliveries.splice(0);
        seen.push(...ids(batch));
        for (const delivery of batch) delivery.ack();
        return seen.length >= 188;
      },
      { every: 1, what: 'the rest' },
    );
    expect(seen).toHaveLength(188);
    expect(new Set(seen).size).toBe(188);
    expect(await consumer.close(30_000)).toBe(true);
    expect(await contents(queue)).toEqual([]);
  });

  it('changed all the time, loses and doubles nothing', async () => {
    const queue = await declare();
    await fill(queue, 2000);
    const { connection: on } = await connection();
    const seen = new Map<string, number>();
    let acked = 0;
    const { consumer, states } = consume(on, queue, {
      prefetch: 5,
      onDelivery(delivery) {
        const id = delivery.body.toString();
        seen.set(id, (seen.get(id) ?? 0) + 1);
        setTimeout(() => delivery.ack() && acked++, Math.random() * 5);
        if (seen.size % 40 === 0) consumer.setPrefetch(1 + ((seen.size * 7) % 90));
      },
    });
    await until(() => acked === 2000, { what: 'all of them', within: 60_000 });
    expect(seen.size).toBe(2000);
    expect([...seen.values()].every((times) => times === 1)).toBe(true);
    await consumer.cancel(30_000);
    expect(await consumer.close(30_000)).toBe(true);
    expect(states).toEqual([{ state: 'attached' }]);
    expect(await contents(queue)).toEqual([]);
  });
});

describe('leaving', () => {
  it('cancelled, takes nothing more, and what is held can be settled', async () => {
    const queue = await declare();
    await fill(queue, 100);
    const { connection: on } = await connection();
    const { deliveries, consumer } = consume(on, queue, { prefetch: 10 });
    await until(() => deliveries.length === 10);
    const cancelling = consumer.cancel(30_000);
    for (const delivery of deliveries.slice(0, 5)) delivery.ack();
    await cancelling;
    expect(consumer.attached).toBe(false);
    await fill(queue, 1);
    expect(deliveries).toHaveLength(10);
    expect(deliveries.slice(5).map((delivery) => delivery.ack())).toEqual(Array(5).fill(true));
    expect(await consumer.close(30_000)).toBe(true);
    await until(async () => (await ready(queue)) === 91, { what: 'what was never handed out, and the last' });
  });

  it.each(['with a gap below them', 'in a run'])('closing loses none of 300 acks %s', async (how) => {
    const queue = await declare();
    await fill(queue, 400);
    const { connection: on, channels } = await connection();
    const { deliveries, consumer } = consume(on, queue, { prefetch: 300 });
    await until(() => deliveries.length === 300, { what: '300 deliveries' });
    const frames = settlements(channels[0] as Channel);
    await consumer.cancel(30_000);
    const [first, ...rest] = deliveries;
    if (how === 'in a run') first?.ack();
    for (const delivery of rest) delivery.ack();
    await turn();
    expect(frames.length).toBe(how === 'in a run' ? 1 : 299);
    if (how !== 'in a run') first?.ack();
    expect(await consumer.close(30_000)).toBe(true);
    await until(async () => (await ready(queue)) >= 100);
    expect(await contents(queue)).toEqual(Array.from({ length: 100 }, (_, index) => `${300 + index}`));
  });

  it('gives back what is not settled, in its order', async () => {
    const queue = await declare();
    await fill(queue, 100);
    const { connection: on } = await connection();
    const { deliveries, consumer } = consume(on, queue);
    await until(() => deliveries.length === 100);
    for (const delivery of deliveries) if (Number(delivery.body) % 2) delivery.ack();
    expect(await consumer.close(30_000)).toBe(true);
    expect(deliveries[0]?.ack()).toBe(false);
    await until(async () => (await ready(queue)) === 50);
    const again = consume(on, queue);
    await until(() => again.deliveries.length === 50);
    expect(ids(again.deliveries)).toEqual(Array.from({ length: 50 }, (_, index) => `${index * 2}`));
  });

  it('in time, and says so, where the peer has fallen silent', async () => {
    const way = await startProxy();
    ends.push(() => way.close());
    const queue = await declare();
    await fill(queue, 50);
    const { connection: on } = await connection(way.url);
    const { deliveries, consumer } = consume(on, queue);
    await until(() => deliveries.length === 50);
    way.stall();
    for (const delivery of deliveries) delivery.ack();
    const closing = consumer.close(500);
    expect(await ownTime(closing)).toBeLessThan(1500);
    expect(await closing).toBe(false);
  });

  it('cancelled while it is being attached, leaves no consumer behind', async () => {
    const { connection: on } = await connection();
    const queue = await declare();
    await fill(queue, 50);
    const many = Array.from({ length: 12 }, () => consume(on, queue, { prefetch: 2 }));
    for (const [index, { consumer }] of many.entries()) {
      for (let turns = 0; turns < index % 6; turns++) await turn();
      await consumer.cancel(30_000);
    }
    for (const { deliveries } of many) for (const delivery of deliveries) expect(delivery.ack()).toBe(true);
    const acked = many.flatMap(({ deliveries }) => deliveries).length;
    // 3.10 counts a cancelled consumer for as long as it holds something.
    const left = { ready: 50 - acked, consumers: 0 };
    const counts = () => admin.admin((channel) => channel.checkQueue(queue));
    const areLeft = async () => isDeepStrictEqual(await counts(), left);
    await until(areLeft, { what: 'no consumer to be left, and the rest to be back' });
    for (const { consumer } of many) expect(await consumer.close(30_000)).toBe(true);
    await until(areLeft, { what: 'nothing to have changed' });
  });

  it('before it was ever attached', async () => {
    const { connection: on } = await connection();
    const { consumer, states, deliveries } = consume(on, await declare());
    expect(await consumer.close(30_000)).toBe(true);
    expect(consumer.attached).toBe(false);
    expect(states).toEqual([]);
    expect(deliveries).toEqual([]);
  });
});
