/** Promise 2 where it is hardest: a copy that cannot be published while its original waits unacked. */
import { expect, it } from '@jest/globals';
import { connect } from 'amqplib';
import { Job, type JobContext } from 'warren';
import { amqpUrl } from '../support/broker.ts';
import { startRuntime } from '../support/runtime.ts';
import { until } from '../support/until.ts';

let attempts: number[] = [];

class FailsOnce extends Job {
  static override queue = 'once';
  static override retry = { attempts: 3, backoff: ['300ms'] };
  perform(_: unknown, { attempt }: JobContext) {
    attempts.push(attempt);
    if (attempt === 1) throw new Error('once');
  }
}

async function deleteDelay(namespace: string): Promise<void> {
  const model = await connect(amqpUrl());
  const channel = await model.createChannel();
  await channel.deleteQueue(`${namespace}.delayed-300ms`);
  await channel.deleteExchange(`${namespace}.delayed-300ms`);
  await model.close();
}

it('restores a delay queue that was deleted, and the retry goes on', async () => {
  attempts = [];
  await using started = await startRuntime([FailsOnce]);
  const done = new Promise((resolve) => started.runtime.on('job.succeeded', resolve));
  await deleteDelay(started.namespace);
  const told = new Promise((resolve) => started.runtime.on('settlement.failed', resolve));
  await started.client.enqueue(FailsOnce, null);
  await told;
  await done;
  expect(attempts).toEqual([1, 2]);
});

it('keeps the original unacked while it may not restore, and gives it back when it stops', async () => {
  attempts = [];
  await using first = await startRuntime([FailsOnce]);
  await first.stop();
  await deleteDelay(first.namespace);
  await using second = await startRuntime([FailsOnce], {
    namespace: first.namespace,
    declare: 'none',
    grace: '2s',
  });
  const told = new Promise((resolve) => second.runtime.on('settlement.failed', resolve));
  await second.client.enqueue(FailsOnce, null, {});
  expect(await told).toMatchObject({ attempt: 1 });
  await second.stop();
  await using third = await startRuntime([FailsOnce], { namespace: first.namespace });
  await until(() => attempts.length === 3, { what: 'the job to be done elsewhere' });
  expect(attempts).toEqual([1, 1, 2]);
  await third.stop();
});

async function publishWith(namespace: string, headers: Record<string, string>): Promise<void> {
  const model = await connect(amqpUrl());
  const channel = await model.createConfirmChannel();
  channel.publish('', `${namespace}.once`, Buffer.from('null'), { type: 'FailsOnce', headers });
  await channel.waitForConfirms();
  await model.close();
}

/** All headers of a message together are at most 64 KiB. */
it('drops the stack of an error that no headers are left for, and goes on', async () => {
  attempts = [];
  await using started = await startRuntime([FailsOnce]);
  const done = new Promise((resolve) => started.runtime.on('job.succeeded', resolve));
  await publishWith(started.namespace, { large: 'x'.repeat(65_000) });
  await done;
  expect(attempts).toEqual([1, 2]);
});

it('says so where a retry is dead because nothing of its error can be added', async () => {
  attempts = [];
  await using started = await startRuntime([FailsOnce]);
  const dead = new Promise((resolve) => started.runtime.on('job.dead', resolve));
  await publishWith(started.namespace, { large: 'x'.repeat(65_480) });
  expect(await dead).toMatchObject({
    reason: 'undecodable',
    error: { message: expect.stringMatching(/headers cannot be sent again.*it failed with Error: once/) },
  });
  const inDeadQueue = async () => {
    const model = await connect(amqpUrl());
    const channel = await model.createChannel();
    const { messageCount } = await channel.checkQueue(`${started.namespace}.once.dead`);
    await model.close();
    return messageCount === 1;
  };
  await until(inDeadQueue, { what: 'it in the dead queue' });
  expect(attempts).toEqual([1]);
});
