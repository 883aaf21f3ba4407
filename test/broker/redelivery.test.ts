/** Promise 3: what comes back to the process that had it is not run again, unless it has to be. */
import { expect, it } from '@jest/globals';
import { connect } from 'amqplib';
import { Job, type JobContext, snooze } from 'warren';
import { amqpUrl } from '../support/broker.ts';
import { startProxy } from '../support/proxy.ts';
import { startRuntime } from '../support/runtime.ts';
import { until } from '../support/until.ts';

let runs: { id: string; attempt: number }[] = [];
let open: () => void = () => {};
let gate = Promise.resolve();

/** Runs until the test opens the gate. */
class Gated extends Job<{ fail?: boolean }> {
  static override queue = 'gated';
  static override retry = { attempts: 3, backoff: ['300ms'] };
  async perform({ fail }: { fail?: boolean }, { id, attempt }: JobContext) {
    runs.push({ id, attempt });
    await gate;
    if (fail && attempt === 1) throw new Error('once');
  }
}

function closeGate(): void {
  runs = [];
  gate = new Promise((resolve) => {
    open = resolve;
  });
}

it('acks a job that ended while its connection was gone, without running it again', async () => {
  closeGate();
  await using proxy = await startProxy();
  await using started = await startRuntime([Gated], { url: proxy.url });
  const { runtime, client } = started;
  const { id } = await client.enqueue(Gated, {});
  await until(() => runs.length === 1, { what: 'the job to run' });
  const lost = new Promise((resolve) => runtime.on('consumer.detached', resolve));
  await proxy.refuse();
  await lost;
  const done = new Promise((resolve) => runtime.on('job.succeeded', resolve));
  open();
  await done;
  const back = new Promise((resolve) => runtime.on('delivery.redelivered', resolve));
  await proxy.resume();
  expect(await back).toMatchObject({ id });
  expect(await started.stop()).toBe(0);
  expect(runs).toEqual([{ id, attempt: 1 }]);
});

it('a run whose job went to another worker meanwhile leaves no ack unsent: a later stop ends with 0', async () => {
  closeGate();
  await using proxy = await startProxy();
  await using cutOff = await startRuntime([Gated], { url: proxy.url });
  await cutOff.client.enqueue(Gated, {});
  await until(() => runs.length === 1, { what: 'the job to run' });
  await using other = await startRuntime([Gated], { namespace: cutOff.namespace });
  const lost = new Promise((resolve) => cutOff.runtime.on('consumer.detached', resolve));
  await proxy.refuse();
  await lost;
  await until(() => runs.length === 2, { what: 'the other worker to have it' });
  const back = new Promise((resolve) => cutOff.runtime.on('consumer.attached', resolve));
  await proxy.resume();
  await back;
  const done = new Promise((resolve) => cutOff.runtime.on('job.succeeded', resolve));
  open();
  await done;
  expect(await cutOff.stop()).toBe(0);
  expect(await other.stop()).toBe(0);
});

it('acks a job whose ack went out and never arrived, without running it again', async () => {
  closeGate();
  await using proxy = await startProxy();
  await using started = await startRuntime([Gated], { url: proxy.url });
  const { runtime, client } = started;
  const { id } = await client.enqueue(Gated, {});
  await until(() => runs.length === 1, { what: 'the job to run' });
  const done = new Promise((resolve) => runtime.on('job.succeeded', resolve));
  const stale: string[] = [];
  runtime.on('settlement.stale', ({ queue }) => void stale.push(queue));
  proxy.stall();
  open();
  await done;
  // The ack leaves in the next turn of the event loop, into a connection that passes nothing on.
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  const back = new Promise((resolve) => runtime.on('delivery.redelivered', resolve));
  await proxy.refuse();
  await proxy.resume();
  expect(await back).toMatchObject({ id });
  expect(await started.stop()).toBe(0);
  expect(runs).toEqual([{ id, attempt: 1 }]);
  expect(stale).toEqual([]);
});

it('lets a delivery that comes back wait for the run that goes on, and settles it with its outcome', async () => {
  closeGate();
  await using proxy = await startProxy();
  await using started = await startRuntime([Gated], { url: proxy.url });
  const { runtime, client } = started;
  const { id } = await client.enqueue(Gated, { fail: true });
  await until(() => runs.length === 1, { what: 'the job to run' });
  const back = new Promise((resolve) => runtime.on('delivery.redelivered', resolve));
  proxy.cut();
  expect(await back).toMatchObject({ id });
  const done = new Promise((resolve) => runtime.on('job.succeeded', resolve));
  open();
  await done;
  expect(runs).toEqual([
    { id, attempt: 1 },
    { id, attempt: 2 },
  ]);
  expect(await started.stop()).toBe(0);
});

it('runs it again, as the same attempt, when the run failed while the connection was gone', async () => {
  closeGate();
  await using proxy = await startProxy();
  await using started = await startRuntime([Gated], { url: proxy.url });
  const { runtime, client } = started;
  await client.enqueue(Gated, { fail: true });
  await until(() => runs.length === 1, { what: 'the job to run' });
  const lost = new Promise((resolve) => runtime.on('consumer.detached', resolve));
  await proxy.refuse();
  await lost;
  const failed = new Promise((resolve) => runtime.on('attempt.failed', resolve));
  open();
  await failed;
  const done = new Promise((resolve) => runtime.on('job.succeeded', resolve));
  await proxy.resume();
  await done;
  expect(runs.map(({ attempt }) => attempt)).toEqual([1, 1, 2]);
});

it('a second copy that comes back while the first one runs here is settled with it, and not run beside it', async () => {
  closeGate();
  await using declared = await startRuntime([Gated]);
  await declared.stop();
  const { namespace } = declared;
  const queue = `${namespace}.gated`;
  // As a retry whose confirm was lost leaves two; and as a worker that had both and died gives them back.
  const dead = await connect(amqpUrl());
  const channel = await dead.createConfirmChannel();
  const headers = { 'warren-attempt': 2, 'warren-enqueued-at': Date.now() };
  const twin = { messageId: 'twin', type: 'Gated', headers };
  for (const _ of [1, 2]) channel.publish('', queue, Buffer.from('{}'), twin);
  await channel.waitForConfirms();
  for (const nr of [1, 2]) await until(() => channel.get(queue), { what: `twin ${nr}` });
  await dead.close();

  await using started = await startRuntime([Gated], { namespace });
  await started.client.enqueue(Gated, {}, { id: 'after' });
  await until(() => runs.some(({ id }) => id === 'after'), { what: 'the one behind them' });
  open();
  expect(await started.stop()).toBe(0);
  expect(runs.map(({ id, attempt }) => [id, attempt])).toEqual([
    ['twin', 2],
    ['after', 1],
  ]);
  const look = await connect(amqpUrl());
  expect(await (await look.createChannel()).get(queue)).toBe(false);
  await look.close();
});

it('a snoozed job is run again each time it comes back', async () => {
  let naps = 0;
  class Sleepy extends Job {
    static override queue = 'sleepy';
    static override retry = { attempts: 1, delays: ['200ms'] };
    perform(_: unknown, { attempt }: JobContext) {
      naps += 1;
      expect(attempt).toBe(1);
      return naps < 3 ? snooze('200ms') : undefined;
    }
  }
  await using started = await startRuntime([Sleepy]);
  const done = new Promise((resolve) => started.runtime.on('job.succeeded', resolve));
  await started.client.enqueue(Sleepy, null);
  await done;
  expect(naps).toBe(3);
});
