import { afterAll, describe, expect, it } from '@jest/globals';
import { type AdminChannel, AdminError, type Broker } from '../../src/broker/broker.ts';
import { createRabbitBroker } from '../../src/broker/rabbitmq.ts';
import { amqpUrl } from '../support/broker.ts';
import { endsOfEachTest } from '../support/ends.ts';
import { testNamespace } from '../support/namespace.ts';
import { ownTime } from '../support/own-time.ts';
import { startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

const namespace = testNamespace();
const ends = endsOfEachTest();
let queues = 0;

afterAll(() => namespace.remove());

function rabbit(url = amqpUrl()): Broker {
  const broker = createRabbitBroker({ urls: [url] });
  ends.push(() => broker.close(0));
  return broker;
}

async function filled(broker: Broker, count: number): Promise<string> {
  const name = namespace.of(`admin-${++queues}`);
  await broker.admin((channel) =>
    channel.declareQueue({ name, arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 1000 } }),
  );
  await broker.connect({ timeout: 60_000 });
  await Promise.all(
    Array.from({ length: count }, (_, index) =>
      broker.publish({
        exchange: '',
        routingKey: name,
        body: Buffer.from(`${index}`),
        properties: { messageId: `${index}`, headers: {} },
      }),
    ),
  );
  return name;
}

async function failureOf(work: Promise<unknown>): Promise<AdminError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(AdminError);
  return error as AdminError;
}

const ready = (broker: Broker, queue: string) =>
  broker.admin(async (channel) => (await channel.checkQueue(queue)).ready);

async function pull(channel: AdminChannel, queue: string, count: number) {
  const pulled = [];
  for (let index = 0; index < count; index++) {
    const message = await channel.get(queue);
    if (message) pulled.push(message);
  }
  return pulled;
}

describe('the administrative channel', () => {
  it('opens the connection it needs', async () => {
    const broker = rabbit();
    expect((await failureOf(broker.admin((channel) => channel.checkQueue('no-such-queue')))).failure).toBe(
      'missing',
    );
    expect(broker.status.connected).toBe(true);
  });

  it('keeps the broker’s words where something stands with other arguments, and hurts nobody else', async () => {
    const broker = rabbit();
    const name = await filled(broker, 1);
    const states: unknown[] = [];
    const subscription = broker.subscribe(name, {
      prefetch: 1,
      onDelivery() {},
      onState: (state) => states.push(state),
    });
    await until(() => subscription.attached);
    const error = await failureOf(
      broker.admin((channel) =>
        channel.declareQueue({ name, arguments: { 'x-queue-type': 'quorum', 'x-message-ttl': 5 } }),
      ),
    );
    expect(error.failure).toBe('different');
    expect(error.message).toMatch(/declaring queue .*inequivalent arg/);
    expect(states).toEqual([{ state: 'attached' }]);
  });

  it('gives back a hundred in their order, and once more', async () => {
    const broker = rabbit();
    const name = await filled(broker, 100);
    for (const _ of [1, 2]) {
      await broker.admin((channel) => pull(channel, name, 100));
      await until(async () => (await ready(broker, name)) === 100);
    }
    const bodies = await broker.admin(async (channel) => {
      const pulled = await pull(channel, name, 100);
      for (const message of pulled) message.ack();
      return pulled.map(({ body }) => Number(body.toString()));
    });
    expect(bodies).toEqual(Array.from({ length: 100 }, (_, index) => index));
  });

  it('loses none of a hundred acks when it closes, and acks each once', async () => {
    const broker = rabbit();
    const name = await filled(broker, 120);
    await broker.admin(async (channel) => {
      const pulled = await pull(channel, name, 110);
      for (const message of pulled.slice(0, 100)) {
        message.ack();
        message.ack();
      }
    });
    await until(async () => (await ready(broker, name)) >= 20);
    const left = await broker.admin((channel) => pull(channel, name, 120));
    expect(left.map(({ body }) => Number(body.toString()))).toEqual(
      Array.from({ length: 20 }, (_, index) => 100 + index),
    );
  });

  it('says in time that the peer has fallen silent, or that there is none', async () => {
    const [silent, none] = [await startProxy(), await startProxy()];
    ends.push(() => Promise.all([silent.close(), none.close()]));
    await none.refuse();
    const broker = rabbit(silent.url);
    await broker.connect({ timeout: 60_000 });
    const looking = (one: Broker) => failureOf(one.admin((channel) => channel.checkQueue('any')));
    silent.stall();
    const both = Promise.all([looking(broker), looking(rabbit(none.url))]);
    expect(await ownTime(both)).toBeLessThan(12_000);
    const errors = await both;
    expect(errors[0]).toMatchObject({
      failure: 'unavailable',
      message: expect.stringContaining('took longer than'),
    });
    expect(errors[1]).toMatchObject({
      failure: 'unavailable',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });
});
