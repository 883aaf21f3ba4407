import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Broker, Publication } from '../../src/broker/broker.ts';
import { createRabbitBroker, type RabbitBrokerOptions } from '../../src/broker/rabbitmq.ts';
import {
  BlockedError,
  ClosedError,
  DeadlineError,
  PayloadInvalidError,
  PayloadTooLargeError,
  RefusedError,
  UnroutableError,
} from '../../src/core/errors.ts';
import { amqpUrl, canStartBrokers, type PrivateBroker, startPrivateBroker } from '../support/broker.ts';
import { testNamespace } from '../support/namespace.ts';
import { type FaultProxy, startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

const namespace = testNamespace();
const ends: (() => unknown)[] = [];
let queues = 0;

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});
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

function to(routingKey: string, id = 'x', more: Partial<Publication> = {}): Publication {
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

async function took(work: Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work;
  return performance.now() - began;
}

/** A busy machine adds to what something takes and never takes away: once in less than `ms` shows it. */
function untilItTakesLess(ms: number, measure: () => Promise<number>): Promise<unknown> {
  return until(async () => (await measure()) < ms, { what: `it to take less than ${ms} ms` });
}

describe('publishing', () => {
  it('keeps what it says it kept, with its properties, in order', async () => {
    const broker = await connected();
    const queue = await declare(broker);
    const ids = Array.from({ length: 3000 }, (_, index) => `${index}`);
    await Promise.all(ids.map((id) => broker.publish(to(queue, id))));
    expect(await idsIn(broker, queue, 3000)).toEqual(ids);
  });

  it('keeps every id when its connection is cut again and again', async () => {
    const way = await proxy();
    const broker = await connected(way.url);
    const queue = await declare(broker);
    const ids = Array.from({ length: 4000 }, (_, index) => `${index}`);
    let kept = 0;
    const publishing = Promise.all(
      ids.map((id) => broker.publish(to(queue, id), { deadline: 60_000 }).then(() => kept++)),
    );
    for (const mark of [200, 900, 1700, 2500, 3300]) {
      await until(() => kept >= mark, { every: 1, what: `${mark} kept` });
      way.cut();
    }
    await publishing;
    const stored = await idsIn(await connected(), queue, 4000);
    expect(new Set(stored)).toEqual(new Set(ids));
  });

  it('rejects before the deadline where the peer falls silent, and goes on when it is back', async () => {
    const way = await proxy();
    const broker = await connected(way.url, { heartbeat: 30 });
    const queue = await declare(broker);
    await broker.publish(to(queue, 'before'));
    way.stall();
    const errors: unknown[] = [];
    const lateBy = (deadline: number) => {
      const publishing = broker.publish(to(queue, `${deadline}`), { deadline });
      return took(publishing.catch((error) => errors.push(error))).then((ms) => ms - deadline);
    };
    await untilItTakesLess(250, async () => {
      const late = await Promise.all([300, 500, 700].map(lateBy));
      return Math.max(...late.map(Math.abs));
    });
    expect(errors).toEqual(errors.map(() => expect.any(DeadlineError)));
    expect(errors.length).toBeGreaterThanOrEqual(3);
    const patient = broker.publish(to(queue, 'patient'));
    await way.resume();
    await patient;
  });

  it('waits for a connection until its deadline, and says that it was never sent', async () => {
    const way = await proxy();
    const broker = await connected(way.url);
    const queue = await declare(broker);
    const lost: unknown[] = [];
    broker.on('disconnected', ({ role }) => lost.push(role));
    await way.refuse();
    await until(() => new Set(lost).size === 2, { what: 'both connections to be gone' });
    const told: unknown[] = [];
    broker.on('connected', (data) => told.push(data));
    const patient = broker.publish(to(queue, 'patient'));
    const error = await broker.publish(to(queue), { deadline: 200 }).catch((reason: Error) => reason);
    expect([error, told]).toEqual([expect.any(DeadlineError), []]);
    expect((error as Error).message).toMatch(/not connected to amqp:.*(may or may not be stored|never sent)/);
    await way.resume();
    await patient;
  });

  it('takes more than fit, in turn', async () => {
    const broker = await connected(amqpUrl(), { maxInFlight: 3 });
    const queue = await declare(broker);
    const ids = Array.from({ length: 200 }, (_, index) => `${index}`);
    await Promise.all(ids.map((id) => broker.publish(to(queue, id))));
    expect(await idsIn(broker, queue, 200)).toEqual(ids);
  });

  it('takes large bodies together, beyond what the socket takes at once', async () => {
    const broker = await connected();
    const queue = await declare(broker);
    const body = Buffer.alloc(300_000, 'x');
    await Promise.all(
      Array.from({ length: 60 }, (_, index) => broker.publish(to(queue, `${index}`, { body }))),
    );
    expect(await idsIn(broker, queue, 60)).toHaveLength(60);
  });

  it('ends at once when its caller gives up', async () => {
    const way = await proxy();
    const broker = await connected(way.url);
    const queue = await declare(broker);
    await broker.publish(to(queue), { signal: new AbortController().signal });
    way.stall();
    const giving = new AbortController();
    const publishing = broker.publish(to(queue), { signal: giving.signal });
    giving.abort();
    await expect(publishing).rejects.toThrow(ClosedError);
    await expect(broker.publish(to(queue), { signal: AbortSignal.abort() })).rejects.toThrow(
      /given up.*never sent/,
    );
  });
});

describe('what cannot be kept', () => {
  it('tells the unroutable from those around them', async () => {
    const broker = await connected();
    const queue = await declare(broker);
    const results = await Promise.allSettled(
      Array.from({ length: 600 }, (_, index) =>
        broker.publish(to(index % 3 ? queue : `${queue}-gone`, `${index >> 1}`)),
      ),
    );
    for (const [index, result] of results.entries())
      expect([index, result.status]).toEqual([index, index % 3 ? 'fulfilled' : 'rejected']);
    const [first] = results as PromiseRejectedResult[];
    expect(first?.reason).toBeInstanceOf(UnroutableError);
    expect(first?.reason.message).toMatch(/'0' for '.*-gone'.*no queue took it.*warren topology apply/);
  });

  it('tells the unroutable whose id comes back as another', async () => {
    const broker = await connected();
    const queue = await declare(broker);
    const half = 'an emoji cut in two \ud83d';
    const lost = broker.publish(to(`${queue}-gone`, half));
    const kept = broker.publish(to(queue, half));
    await expect(lost).rejects.toThrow(UnroutableError);
    await kept;
  });

  it('a missing exchange spares the innocent', async () => {
    const broker = await connected();
    const queue = await declare(broker);
    const results = await Promise.allSettled(
      Array.from({ length: 300 }, (_, index) =>
        broker.publish(
          index % 50 === 7 ? to(queue, 'lost', { exchange: `${queue}-gone` }) : to(queue, `${index}`),
        ),
      ),
    );
    for (const [index, result] of results.entries())
      expect([index, result.status]).toEqual([index, index % 50 === 7 ? 'rejected' : 'fulfilled']);
    const { reason } = results[7] as PromiseRejectedResult;
    expect(reason).toBeInstanceOf(UnroutableError);
    expect(reason.message).toMatch(/NOT_FOUND - no exchange/);
    const stored = await idsIn(broker, queue, 294);
    expect(new Set(stored).size).toBe(294);
  });

  it('an exchange that may not be published to spares the innocent', async () => {
    const broker = await connected();
    const queue = await declare(broker);
    const internal = 'amq.rabbitmq.trace';
    const [refusal, kept] = await Promise.allSettled([
      broker.publish(to(queue, 'no', { exchange: internal })),
      broker.publish(to(queue, 'yes')),
    ]);
    expect(kept.status).toBe('fulfilled');
    expect(refusal).toMatchObject({ status: 'rejected', reason: expect.any(RefusedError) });
  });

  it('is refused by a full queue until the deadline, and kept once there is room', async () => {
    const broker = await connected();
    const queue = await declare(broker, { 'x-max-length': 1, 'x-overflow': 'reject-publish' });
    const full = async () => {
      // A quorum queue takes some more before it says no.
      for (let id = 0; ; id++) {
        const error = await broker
          .publish(to(queue, `${id}`), { deadline: 300 })
          .catch((reason: unknown) => reason);
        // One that was slow has not said no.
        if (error && !(error instanceof DeadlineError)) return error as Error;
      }
    };
    const error = await full();
    expect(error).toBeInstanceOf(RefusedError);
    expect(error.message).toMatch(/refused it \d+ times.*queue full/s);
    const patient = broker.publish(to(queue, 'patient'));
    const taken: string[] = [];
    const subscription = broker.subscribe(queue, {
      prefetch: 1000,
      onDelivery: (delivery) => {
        taken.push(String(delivery.properties.messageId));
        delivery.ack();
      },
    });
    await until(() => taken.includes('patient'), { what: 'it to be kept, once there is room' });
    await patient;
    await subscription.close(5000);
  });

  it.each([
    ['headers above 64 KiB', { messageId: 'x', headers: { long: 'x'.repeat(70_000) } }],
    ['headers of many above 64 KiB', { messageId: 'x', headers: { list: Array(9000).fill('12345678') } }],
    ['a function in the headers', { messageId: 'x', headers: { odd: () => 1 } }],
    ['NaN in the headers', { messageId: 'x', headers: { deep: [{ odd: Number.NaN }] } }],
    ['an id that is too long', { messageId: 'x'.repeat(256), headers: {} }],
    ['a priority that is none', { messageId: 'x', priority: 300, headers: {} }],
    ['a type that is none', { messageId: 'x', type: 7 as unknown as string, headers: {} }],
  ])('%s harm that one alone', async (_, properties) => {
    const broker = await connected();
    const queue = await declare(broker);
    const before = broker.publish(to(queue, 'before'));
    const failing = broker.publish(to(queue, 'x', { properties }));
    const after = broker.publish(to(queue, 'after'));
    await expect(failing).rejects.toThrow(PayloadInvalidError);
    await Promise.all([before, after]);
    expect(await idsIn(broker, queue, 2)).toEqual(['before', 'after']);
  });

  it('what makes the broker close the channel for no reason that names it is found, and harms itself alone', async () => {
    const broker = await connected();
    const queue = await declare(broker);
    const results = await Promise.allSettled(
      Array.from({ length: 200 }, (_, index) =>
        broker.publish(
          to(queue, `${index}`, index === 60 ? { properties: { messageId: '60', headers: { CC: 5 } } } : {}),
          { deadline: 60_000 },
        ),
      ),
    );
    for (const [index, { status }] of results.entries())
      expect([index, status]).toEqual([index, index === 60 ? 'rejected' : 'fulfilled']);
    const { reason } = results[60] as PromiseRejectedResult;
    expect(reason).toBeInstanceOf(RefusedError);
    expect(reason.message).toMatch(/closes the channel each time it is sent/);
    expect(new Set(await idsIn(broker, queue, 199)).size).toBe(199);
  });

  it('a routing key that is too long harms itself alone', async () => {
    const broker = await connected();
    const queue = await declare(broker);
    await expect(broker.publish(to('x'.repeat(256)))).rejects.toThrow(PayloadInvalidError);
    await broker.publish(to(queue));
  });
});

describe('closing', () => {
  it('lets finish what is under way, and takes no more', async () => {
    const broker = await connected();
    const queue = await declare(broker);
    const publishing = Promise.all(
      Array.from({ length: 500 }, (_, index) => broker.publish(to(queue, `${index}`))),
    );
    const closing = broker.close(60_000);
    await expect(broker.publish(to(queue))).rejects.toThrow(ClosedError);
    await publishing;
    await closing;
  });

  it('rejects what is not confirmed in time', async () => {
    const errors: unknown[] = [];
    await untilItTakesLess(1000, async () => {
      const way = await proxy();
      const broker = await connected(way.url);
      const queue = await declare(broker);
      way.stall();
      const publishing = broker.publish(to(queue)).catch((error) => errors.push(error));
      const closing = await took(broker.close(200));
      await publishing;
      return closing;
    });
    const message = expect.stringMatching(/closed before it confirmed.*may or may not/);
    expect(errors).toEqual(errors.map(() => expect.objectContaining({ message })));
    expect(errors.length).toBeGreaterThan(0);
  });
});

describe('an alarm of the broker', () => {
  let own: PrivateBroker | undefined;
  let able = false;

  beforeAll(async () => {
    able = await canStartBrokers();
    if (able) own = await startPrivateBroker(undefined, { conf: 'max_message_size = 100000' });
  }, 120_000);
  afterAll(() => own?.remove());

  /** In force when it resolves. */
  async function memory(watermark: '0' | '0.6'): Promise<void> {
    await own?.ctl('set_vm_memory_high_watermark', watermark);
    const alarms = async () => (await own?.ctl('eval', 'rabbit_alarm:get_alarms().'))?.includes('memory');
    await until(async () => (await alarms()) === (watermark === '0'), { what: 'the alarm' });
  }

  it('blocks until the deadline, is told, and ends', async () => {
    if (!own) return;
    const broker = await connected(own.url);
    const told: unknown[] = [];
    broker.on('blocked', (data) => told.push(data));
    broker.on('unblocked', (data) => told.push(data));
    const queue = await declare(broker);
    await memory('0');
    // A connection hears of the alarm by its first publication.
    const first = broker.publish(to(queue, 'first'), { deadline: 10_000 });
    await expect(first).rejects.toThrow(BlockedError);
    expect(told).toHaveLength(1);
    expect(broker.status.blocked).toMatch(/memory/);
    const unsent = broker.publish(to(queue, 'unsent'), { deadline: 100 });
    await expect(unsent).rejects.toThrow(BlockedError);
    await expect(unsent).rejects.toThrow(/memory.*never sent/);
    const patient = broker.publish(to(queue, 'patient'), { deadline: 60_000 });
    await memory('0.6');
    await patient;
    expect(told).toHaveLength(2);
    expect(broker.status.blocked).toBeUndefined();
    expect(await idsIn(broker, queue, 2)).toEqual(['first', 'patient']);
  });

  it('does not hold up closing', async () => {
    if (!own) return;
    const { url } = own;
    await memory('0');
    const outcomes: string[] = [];
    await untilItTakesLess(1500, async () => {
      const broker = await connected(url);
      const queue = await declare(broker);
      const publishing = broker.publish(to(queue), { deadline: 200 });
      outcomes.push(...(await Promise.allSettled([publishing])).map(({ status }) => status));
      return took(broker.close(300));
    });
    expect(new Set(outcomes)).toEqual(new Set(['rejected']));
    await memory('0.6');
  });

  it('a body larger than the broker takes harms itself alone', async () => {
    if (!own) return;
    const broker = await connected(own.url);
    const queue = await declare(broker);
    const before = broker.publish(to(queue, 'before'));
    const large = broker.publish(to(queue, 'large', { body: Buffer.alloc(100_001) }));
    const after = broker.publish(to(queue, 'after'));
    await expect(large).rejects.toThrow(PayloadTooLargeError);
    await expect(large).rejects.toThrow(/100001 bytes is larger than the broker takes/);
    await Promise.all([before, after]);
    expect(new Set(await idsIn(broker, queue, 2))).toEqual(new Set(['before', 'after']));
  });

  it('a broker that is killed in the middle keeps all that it confirmed', async () => {
    if (!own) return;
    const broker = await connected(own.url);
    const queue = await declare(broker);
    // 3.10 keeps the registration of a new quorum queue in memory for some seconds: killed before, it loses the queue.
    await own.ctl('eval', '[dets:sync(Table) || Table <- dets:all()].');
    const ids = Array.from({ length: 3000 }, (_, index) => `${index}`);
    let kept = 0;
    const publishing = Promise.all(
      ids.map((id) => broker.publish(to(queue, id), { deadline: 90_000 }).then(() => kept++)),
    );
    await until(() => kept > 500, { every: 1 });
    await own.kill();
    await own.start();
    await publishing;
    expect(new Set(await idsIn(broker, queue, 3000))).toEqual(new Set(ids));
  }, 150_000);
});
