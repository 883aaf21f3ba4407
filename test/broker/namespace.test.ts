/** The tests' own ground on a real broker: a namespace that clears up. */
import { describe, expect, it } from '@jest/globals';
import amqp from 'amqplib';
import { amqpUrl } from '../support/broker.ts';
import { management } from '../support/management.ts';
import { testNamespace } from '../support/namespace.ts';

describe('a test namespace', () => {
  it('takes its queues and exchanges with it, and nobody else’s', async () => {
    const [mine, other] = [testNamespace(), testNamespace()];
    const connection = await amqp.connect(amqpUrl());
    const channel = await connection.createChannel();
    for (const { of } of [mine, other]) {
      await channel.assertQueue(of('mail'), { durable: true });
      await channel.assertExchange(of('jobs'), 'direct');
    }
    await connection.close();

    await mine.remove();
    const names = [...(await management().queues()), ...(await management().exchanges())].map(
      ({ name }) => name,
    );
    expect(names.filter((name) => name.startsWith(`${mine.name}.`))).toEqual([]);
    expect(names.filter((name) => name.startsWith(`${other.name}.`))).toHaveLength(2);
    await other.remove();
  });
});
