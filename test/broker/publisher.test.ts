/** Promise 1 at its source: what the publisher keeps, refuses and gives up, each without harm to the others. */
import { describe, expect, it } from '@jest/globals';
import {
  ClosedError,
  DeadlineError,
  PayloadInvalidError,
  RefusedError,
  UnroutableError,
} from '../../src/core/errors.ts';
import { amqpUrl } from '../support/broker.ts';
import { publications, to, took, untilItTakesLess } from '../support/publications.ts';
import { until } from '../support/until.ts';

const { connected, proxy, declare, idsIn } = publications();

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
