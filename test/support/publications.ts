/** Messages for the publisher itself, below jobs and clients. */
import { afterAll, expect } from '@jest/globals';
import type { Broker, Publication } from '../../src/broker/broker.ts';
import { createRabbitBroker, type RabbitBrokerOptions } from '../../src/broker/rabbitmq.ts';
import { amqpUrl } from './broker.ts';
import { endsOfEachTest } from './ends.ts';
import { testNamespace } from './namespace.ts';
import { type FaultProxy, startProxy } from './proxy.ts';
import { until } from './until.ts';

/** For one test file: what a test makes ends with it, and its queues with the file. */
export function publications() {
  const namespace = testNamespace();
  const ends = endsOfEachTest();
  let queues = 0;

  afterAll(() => namespace.remove());

  async function connected(url = amqpUrl(), options: Partial<RabbitBrokerOptions> = {}): Promise<Broker> {
    const broker = createRabbitBroker({ urls: [url], ...options });
    ends.push(() => broker.close(0));
    await broker.connect({ timeout: 30_000 });
    return broker;
  }

  async function proxy(target = amqpUrl()): Promise<FaultProxy> {
    const made = await startProxy(target);
    ends.push(() => made.close());
    return made;
  }

  async function declare(broker: Broker, more: Record<string, string | number> = {}): Promise<string> {
    const name = namespace.of(`publisher-${++queues}`);
    await broker.admin((channel) =>
      channel.declareQueue({ name, arguments: { 'x-queue-type': 'quorum', ...more } }),
    );
    return name;
  }

  return { connected, proxy, declare, idsIn };
}

export function to(routingKey: string, id = 'x', more: Partial<Publication> = {}): Publication {
  const properties = { messageId: id, type: 'Test', headers: { 'warren-attempt': 1 } };
  return { exchange: '', routingKey, body: Buffer.from(id), properties, ...more };
}

/**
 * Takes all that is in a queue, in which so many different ones are. (A passive declare would not do to know how many:
 * it says 0 while the queue is slow to answer. A get waits for it.)
 */
async function idsIn(broker: Broker, queue: string, count: number): Promise<string[]> {
  const ids: string[] = [];
  const subscription = broker.subscribe(queue, {
    prefetch: 1000,
    onDelivery: (delivery) => {
      ids.push(String(delivery.properties.messageId));
      delivery.ack();
    },
  });
  await until(() => new Set(ids).size >= count, { what: `${count} messages` });
  expect(await subscription.close(30_000)).toBe(true);
  await broker.admin(async (channel) => {
    for (let message = await channel.get(queue); message; message = await channel.get(queue)) {
      ids.push(String(message.properties.messageId));
      message.ack();
    }
  });
  return ids;
}

export async function took(work: Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work;
  return performance.now() - began;
}

/** A busy machine adds to what something takes and never takes away: once in less than `ms` shows it. */
export function untilItTakesLess(ms: number, measure: () => Promise<number>): Promise<unknown> {
  return until(async () => (await measure()) < ms, { what: `it to take less than ${ms} ms` });
}
