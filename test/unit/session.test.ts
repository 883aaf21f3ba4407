/** A session on a channel that does what a test says. */
import { EventEmitter } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import type { Channel, ConsumeMessage } from 'amqplib';
import type { Delivery } from '../../src/broker/broker.ts';
import { Session } from '../../src/broker/session.ts';

async function openSession(overrides: object, onDelivery: (delivery: Delivery) => void) {
  let deliver: (message: ConsumeMessage) => void = () => {};
  const channel = Object.assign(new EventEmitter(), {
    prefetch: async () => ({}),
    consume: async (_queue: string, onMessage: typeof deliver) => {
      deliver = onMessage;
      return { consumerTag: 'one' };
    },
    cancel: async () => {},
    ack() {},
    close: async () => {},
    ...overrides,
  });
  const session = new Session(channel as unknown as Channel, { queue: 'mail', onDelivery, onStale() {} });
  await session.consume(1);
  const message = { fields: { deliveryTag: 1 }, properties: {}, content: Buffer.from('{}') };
  return { session, channel, deliver: () => deliver(message as ConsumeMessage) };
}

// amqplib throws from its methods between a broker's goodbye and the end of its channels.
it('a settlement that cannot be sent ends the session, not the process', async () => {
  const ack = () => {
    throw new Error('Connection closing');
  };
  const { session, deliver } = await openSession({ ack }, (delivery) => void delivery.ack());
  deliver();
  expect((await session.ended).reason).toContain('Connection closing');
  expect(session.live).toBe(false);
});

describe('a session whose channel is lost while it is left', () => {
  const settled = (delivery: Delivery) => void delivery.ack();
  const never = () => new Promise(() => {});

  it('does not say that all settlements arrived, where the broker had not answered', async () => {
    const { session, channel, deliver } = await openSession({ cancel: never }, settled);
    deliver();
    const cancelled = session.cancel(50);
    channel.emit('close');
    await cancelled;
    expect(await session.close(50)).toBe(false);
  });

  it('says so where its answer came after them', async () => {
    const { session, channel, deliver } = await openSession({}, settled);
    deliver();
    await session.cancel(50);
    channel.emit('close');
    expect(await session.close(50)).toBe(true);
  });

  it('says so where there were none', async () => {
    const { session, channel } = await openSession({ cancel: never }, settled);
    const cancelled = session.cancel(50);
    channel.emit('close');
    await cancelled;
    expect(await session.close(50)).toBe(true);
  });
});
