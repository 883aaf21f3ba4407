/** Messages through the declared topology, without a worker: what waits, falls due, is rejected or has lost its queue. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { connect } from 'amqplib';
import type { Broker, PulledMessage } from '../../src/broker/broker.ts';
import { createRabbitBroker } from '../../src/broker/rabbitmq.ts';
import { jobProperties, retryProperties } from '../../src/core/envelope.ts';
import { applyTopology } from '../../topology/declarer.ts';
import { type Names, namesFor } from '../../topology/names.ts';
import { planTopology, type Topology } from '../../topology/plan.ts';
import { amqpUrl } from '../support/broker.ts';
import { type TestNamespace, testNamespace } from '../support/namespace.ts';
import { until } from '../support/until.ts';

const broker: Broker = createRabbitBroker({ urls: [amqpUrl()] });
let space: TestNamespace;
let names: Names;

beforeAll(() => broker.connect({ timeout: 30_000 }));
afterAll(() => broker.close(1_000));

beforeEach(() => {
  space = testNamespace();
  names = namesFor(space.name);
});
afterEach(() => space.remove());

const plan = (): Topology =>
  planTopology({
    names,
    queues: [{ name: 'mail' }, { name: 'gone' }, { name: 'fast', type: 'classic' }],
    delays: [300, 60_000],
  });

/** A message as a worker publishes it; resolves when confirmed and routed. */
function publish(
  exchange: string,
  queue: string,
  id: string,
  properties = jobProperties({ id, name: 'Mail', now: 0 }),
) {
  return broker.publish({ exchange, routingKey: names.queue(queue), body: Buffer.from('{}'), properties });
}

const send = (queue: string, id: string) => publish(names.jobs, queue, id);
const delay = (queue: string, id: string, ms = 300) => publish(names.delay(ms), queue, id);

/** Takes a message and acks it. */
function take(queue: string): Promise<PulledMessage | undefined> {
  return broker.admin(async (channel) => {
    const message = await channel.get(queue);
    message?.ack();
    return message;
  });
}

/** Dies with a message in hand. On 4.3 only that counts; 3.x also counts a message that is given back. */
async function dieWith(queue: string): Promise<boolean> {
  const connection = await connect(amqpUrl());
  try {
    return await (await connection.createChannel()).get(queue).then(Boolean);
  } finally {
    await connection.close();
  }
}

/** The ids of what lies in a queue, when there are so many. */
function idsIn(queue: string, count: number): Promise<(string | undefined)[]> {
  return until(
    () => broker.admin((channel) => channel.checkQueue(queue)).then(({ ready }) => ready === count),
    {
      what: `${count} messages in ${queue}`,
    },
  ).then(() =>
    broker.admin(async (channel) => {
      const ids: (string | undefined)[] = [];
      for (let message = await channel.get(queue); message; message = await channel.get(queue))
        ids.push(message.properties.messageId);
      return ids;
    }),
  );
}

const numbered = (what: string, count: number) =>
  Array.from({ length: count }, (_, index) => `${what}-${index}`);

describe('a delay', () => {
  beforeEach(() => applyTopology(broker, plan()));

  it('gives a message back to its work queue, by jobs.due, not before its time', async () => {
    const start = performance.now();
    await delay('mail', 'one');
    const message = await until(() => take(names.queue('mail')), { what: 'the message', every: 5 });
    expect(performance.now() - start).toBeGreaterThanOrEqual(300);
    expect(message).toMatchObject({
      exchange: names.due,
      routingKey: names.queue('mail'),
      properties: { messageId: 'one', type: 'Mail' },
    });
  });

  it('holds up nothing that waits less in another queue', async () => {
    await delay('mail', 'long', 60_000);
    await delay('mail', 'short');
    expect(await idsIn(names.queue('mail'), 1)).toEqual(['short']);
    expect(await idsIn(names.delay(60_000), 1)).toEqual(['long']);
  });

  it('takes the same message again and again: what the broker wrote into it is not copied', async () => {
    await delay('mail', 'round');
    for (let attempt = 2; attempt <= 4; attempt++) {
      const message = await until(() => take(names.queue('mail')), { what: `attempt ${attempt}` });
      expect(message.properties.headers).toHaveProperty('x-death');
      const next = retryProperties(message.properties, { id: 'round', attempt, dueAt: 0 });
      await publish(names.delay(300), 'mail', 'round', next);
    }
    expect(await idsIn(names.queue('mail'), 1)).toEqual(['round']);
  });

  it('serves classic queues too', async () => {
    await delay('fast', 'one');
    expect(await idsIn(names.queue('fast'), 1)).toEqual(['one']);
  });

  it('parks what falls due for a deleted queue, and lets the others pass', async () => {
    await broker.admin((channel) => channel.deleteQueue(names.queue('gone')));
    // More than the 32 that a dead-letter worker has under way, each of which would block it for 180 s.
    await Promise.all(numbered('lost', 40).map((id) => delay('gone', id)));
    await Promise.all(numbered('good', 5).map((id) => delay('mail', id)));
    expect(await idsIn(names.queue('mail'), 5)).toEqual(numbered('good', 5));
    expect(new Set(await idsIn(names.unroutedQueue, 40))).toEqual(new Set(numbered('lost', 40)));
    const parked = await until(() => take(names.unroutedQueue), { what: 'one of them' });
    expect(parked.routingKey).toBe(names.queue('gone'));
  });
});

describe('an enqueue for a queue that is gone', () => {
  it('comes back to its publisher; only what falls due is parked', async () => {
    await applyTopology(broker, plan());
    await broker.admin((channel) => channel.deleteQueue(names.queue('gone')));
    await expect(send('gone', 'one')).rejects.toMatchObject({ code: 'WARREN_UNROUTABLE' });
  });
});

describe('what a worker rejects', () => {
  beforeEach(() => applyTopology(broker, plan()));

  it.each(['mail', 'fast'])('from %s lands in its own dead queue', async (queue) => {
    await send(queue, 'bad');
    const rejecting = broker.subscribe(names.queue(queue), {
      prefetch: 1,
      onDelivery: (delivery) => void delivery.reject(),
    });
    expect(await idsIn(names.deadQueue(queue), 1)).toEqual(['bad']);
    await rejecting.close(1_000);
  });
});

describe('the delivery limit', () => {
  it('is the net below: what comes back too often is parked, not lost', async () => {
    const low = plan();
    for (const { name, arguments: said } of low.queues)
      if (name === names.queue('mail')) said['x-delivery-limit'] = 2;
    await applyTopology(broker, low);
    await send('mail', 'poison');
    for (let round = 0; round < 3; round++)
      await until(() => dieWith(names.queue('mail')), { what: `delivery ${round}` });
    expect(await idsIn(names.deadQueue('mail'), 1)).toEqual(['poison']);
  });

  it.each(['mail', 'mail.dead'])(
    'is out of reach: %s outlives more deaths than RabbitMQ 4 allows',
    async (queue) => {
      await applyTopology(broker, plan());
      await (queue === 'mail' ? send('mail', 'one') : publish(names.dead, 'mail', 'one'));
      for (let round = 0; round < 25; round++)
        await until(() => dieWith(names.queue(queue)), { what: `death ${round}`, every: 5 });
      expect(await idsIn(names.queue(queue), 1)).toEqual(['one']);
    },
  );
});
