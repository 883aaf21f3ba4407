/** What only a real worker can show of its children: a heap that is used up, middleware, and a worker that is killed. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type Client, createClient } from 'warren';
import { type Program, startWorker } from '../stories/support.ts';
import { alive } from '../support/alive.ts';
import { amqpUrl } from '../support/broker.ts';
import { testNamespace } from '../support/namespace.ts';
import { until } from '../support/until.ts';

const space = testNamespace();
let client: Client;
let worker: Program;

beforeAll(async () => {
  worker = await startWorker({
    url: amqpUrl(),
    namespace: space.name,
    folder: 'test/fixtures/isolated',
    queues: ['deeds:3'],
    // Children inherit it, so that it does not take long.
    env: {
      NODE_OPTIONS: '--max-old-space-size=100',
      WARREN_CONFIG: 'test/fixtures/around/warren.config.mjs',
    },
  });
  client = await createClient({ url: amqpUrl(), namespace: space.name });
}, 120_000);

afterAll(async () => {
  await client?.close();
  await worker?.[Symbol.asyncDispose]();
  await space.remove();
});

const enqueue = (job: string, does: string, id: string) =>
  client.enqueue(job, { does }, { queue: 'deeds', id });

/** The line that tells of this job. */
async function told(msg: string, id: string) {
  const line = await worker.process.waitForLine(new RegExp(`"id":"${id}".*"msg":"${msg}"`), {
    within: 40_000,
  });
  return JSON.parse(line);
}

it('a job that uses up its heap takes down its child alone, and says so', async () => {
  await enqueue('ProcessDeed', 'hoards', 'hoarder');
  await enqueue('ThreadDeed', 'hoards', 'threaded-hoarder');
  const [process, thread] = [
    await told('job took its process down', 'hoarder'),
    await told('job took its process down', 'threaded-hoarder'),
  ];
  expect(process.signal ?? `exit ${process.exitCode}`).toMatch(/SIGABRT|SIGTRAP|exit 134/);
  expect(process.error.stack).toContain('heap out of memory');
  expect(thread.error.stack).toContain('ERR_WORKER_OUT_OF_MEMORY');
  await enqueue('InlineDeed', 'nothing', 'inline');
  await told('job succeeded', 'inline');
}, 180_000);

it('the middleware of the config file stands around a job wherever it runs', async () => {
  const jobs = ['InlineDeed', 'ProcessDeed', 'ThreadDeed'];
  for (const job of jobs) await enqueue(job, 'nothing', `around-${job}`);
  const places = [];
  for (const job of jobs) places.push((await told('around', `around-${job}`)).inside);
  const { pid } = worker.process;
  expect(places[0]).toBe(`${pid}/0`);
  expect(places[1]).toMatch(/\/0$/);
  expect(places[1]).not.toBe(places[0]);
  expect(places[2]).toMatch(new RegExp(`^${pid}/[1-9]`));
}, 180_000);

// Last: it kills the worker.
it('no child outlives a worker that is killed, not even in an endless loop', async () => {
  await enqueue('ProcessDeed', 'loops', 'looper');
  const line = await worker.process.waitForLine(/^looping in \d+$/, { within: 60_000 });
  const pid = Number(/\d+/.exec(line)?.[0]);
  expect(pid).not.toBe(worker.process.pid);
  worker.process.kill('SIGKILL');
  await until(() => !alive(pid), { within: 30_000, what: 'the end of the child' });
}, 120_000);
