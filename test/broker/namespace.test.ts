/** The tests' own ground on a real broker: a namespace that clears up, and a private node that survives its death. */
import { describe, expect, it } from '@jest/globals';
import amqp from 'amqplib';
import { amqpUrl, startPrivateBroker, untilNewQueuesSurvive } from '../support/broker.ts';
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

describe('a private broker', () => {
  it('keeps its address and its durable messages across SIGKILL', async () => {
    const broker = await startPrivateBroker();
    try {
      const connection = await amqp.connect(broker.url);
      const gone = new Promise((resolve) => connection.on('close', resolve).on('error', () => {}));
      const channel = await connection.createConfirmChannel();
      await channel.assertQueue('kept', { durable: true, arguments: { 'x-queue-type': 'quorum' } });
      await untilNewQueuesSurvive(broker);
      channel.sendToQueue('kept', Buffer.from('1'), { persistent: true });
      await channel.waitForConfirms();

      await broker.kill();
      await gone;
      await expect(amqp.connect(broker.url)).rejects.toThrow('ECONNREFUSED');
      await broker.start();
      expect(await broker.ctl('list_queues', 'name', '--no-table-headers')).toBe('kept\n');
      const again = await amqp.connect(broker.url);
      const reader = await again.createChannel();
      const message = await new Promise<string>((resolve, reject) => {
        again.on('error', reject);
        reader.consume('kept', (delivery) => resolve(`${delivery?.content}`), { noAck: true }).catch(reject);
      });
      expect(message).toBe('1');
      await again.close();
    } finally {
      await broker.remove();
    }
  }, 300_000);
});
