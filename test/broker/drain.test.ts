/** Promise 7, word by word. Times are those of the grace period asked for. */
import { expect, it } from '@jest/globals';
import { createRuntime, Job, type JobContext, WorkerStoppingError } from 'warren';
import { amqpUrl } from '../support/broker.ts';
import { ownTime } from '../support/own-time.ts';
import { startProxy } from '../support/proxy.ts';
import { startRuntime } from '../support/runtime.ts';
import { until } from '../support/until.ts';

const GRACE_MS = 3_000;

/** Runs until its signal aborts (`polite`), until the gate opens, or for ever. */
class Busy extends Job<{ how: string }> {
  static override queue = 'busy';
  static override retry = { attempts: 2, backoff: ['1s'] };
  async perform({ how }: { how: string }, { signal, id, attempt }: JobContext) {
    running.push({ id, attempt });
    if (how === 'gate') await gate;
    if (how === 'stubborn') await new Promise(() => {});
    if (how === 'polite')
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  }
}

let running: { id: string; attempt: number }[] = [];
let open: () => void = () => {};
let gate = Promise.resolve();

function closeGate(): void {
  running = [];
  gate = new Promise((resolve) => {
    open = resolve;
  });
}

const options = { grace: GRACE_MS, queues: { busy: { concurrency: 2, prefetch: 10 } } };
/** For what must not need it: a busy broker may take longer for its answers than a short grace leaves. */
const patient = { ...options, grace: 30_000 };

it('finishes what runs, gives back what waits at once, starts nothing new, exits 0', async () => {
  closeGate();
  await using started = await startRuntime([Busy], patient);
  const { runtime, client } = started;
  await client.enqueueMany(
    Busy,
    Array.from({ length: 10 }, () => ({ how: 'gate' })),
  );
  await until(() => running.length === 2, { what: 'two jobs to run' });
  // Up before the stop, so that a slow start does not eat the grace; what there is is held by the first.
  await using other = await startRuntime([Busy], { ...patient, namespace: started.namespace });
  expect(running).toHaveLength(2);
  const startedHere: string[] = [];
  runtime.on('attempt.started', ({ id }) => void startedHere.push(id));
  const stopped = started.stop();
  // The other eight can be had by another worker while these two still run, long before they are asked to stop.
  await until(() => running.length === 4, { within: 20_000, what: 'another worker to have the rest' });
  open();
  expect(await stopped).toBe(0);
  await until(() => running.length === 10, { what: 'all ten' });
  expect(new Set(running.map(({ id }) => id)).size).toBe(10);
  expect(running.every(({ attempt }) => attempt === 1)).toBe(true);
  expect(await other.stop()).toBe(0);
  expect(startedHere).toEqual([]);
});

it('asks running jobs to stop before the grace period ends; one that obeys spends no attempt', async () => {
  closeGate();
  await using started = await startRuntime([Busy], options);
  await started.client.enqueue(Busy, { how: 'polite' });
  await until(() => running.length === 1, { what: 'the job to run' });
  const released = new Promise((resolve) => started.runtime.on('attempt.released', resolve));
  const stopped = started.stop();
  expect(await ownTime(stopped)).toBeLessThan(GRACE_MS);
  expect(await stopped).toBe(3);
  expect(await released).toMatchObject({ attempt: 1 });
  await using next = await startRuntime([Busy], { ...options, namespace: started.namespace });
  await until(() => running.length === 2, { what: 'the job to run again' });
  expect(running[1]).toEqual(running[0]);
  await next.stop();
});

it('releases what does not stop when the grace period ends, and exits 3 within it', async () => {
  closeGate();
  await using started = await startRuntime([Busy], options);
  await started.client.enqueue(Busy, { how: 'stubborn' });
  await until(() => running.length === 1, { what: 'the job to run' });
  const stopped = started.stop();
  expect(await ownTime(stopped)).toBeLessThan(GRACE_MS);
  expect(await stopped).toBe(3);
  await using next = await startRuntime([Busy], { ...options, namespace: started.namespace });
  await until(() => running.length === 2, { what: 'the job to be handed out again' });
  expect(running[1]).toEqual(running[0]);
  await next.stop();
});

it.each(['refuses', 'is silent'])('ends within its grace also while the broker %s', async (how) => {
  closeGate();
  await using proxy = await startProxy();
  await using started = await startRuntime([Busy], { ...options, url: proxy.url });
  await started.client.enqueue(Busy, { how: 'gate' });
  await until(() => running.length === 1, { what: 'the job to run' });
  if (how === 'refuses') await proxy.refuse();
  else proxy.stall();
  const stopped = started.stop();
  open();
  expect(await ownTime(stopped)).toBeLessThan(GRACE_MS);
  // Its ack could not be sent, so the job will run again: that is told.
  expect(await stopped).toBe(3);
  await proxy.resume();
});

it('tells also of an ack that was lost before the stop', async () => {
  closeGate();
  await using proxy = await startProxy();
  await using started = await startRuntime([Busy], { ...options, url: proxy.url });
  await started.client.enqueue(Busy, { how: 'gate' });
  await until(() => running.length === 1, { what: 'the job to run' });
  const lost = new Promise((resolve) => started.runtime.on('consumer.detached', resolve));
  await proxy.refuse();
  await lost;
  const done = new Promise((resolve) => started.runtime.on('job.succeeded', resolve));
  open();
  await done;
  expect(await started.stop()).toBe(3);
  await proxy.resume();
});

it('a stop before the start ends the run', async () => {
  const runtime = createRuntime({ url: amqpUrl(), jobs: [Busy], http: false, signals: false, logger: false });
  const stopped = runtime.stop();
  expect(await runtime.run()).toBe(0);
  expect(await stopped).toBe(0);
});

it('a connect timeout of 0 waits for ever, and connects', async () => {
  await using started = await startRuntime([Busy], { ...patient, connectTimeout: 0 });
  expect(await started.stop()).toBe(0);
});

it('a drain with nothing to do ends at once', async () => {
  await using started = await startRuntime([Busy], patient);
  const stopped = started.stop();
  expect(await ownTime(stopped)).toBeLessThan(patient.grace / 3);
  expect(await stopped).toBe(0);
});

it('the reason of the signal is told', () => {
  expect(new WorkerStoppingError().message).toContain('not counted');
});
