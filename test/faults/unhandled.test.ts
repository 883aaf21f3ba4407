/** Errors that nobody caught, in the code of a job: its failed attempt, never the end of the process. */
import { afterAll, expect, it } from '@jest/globals';
import { createClient } from 'warren';
import { startWorker } from '../stories/support.ts';
import { amqpUrl } from '../support/broker.ts';
import { Ledger } from '../support/ledger.ts';
import { testNamespace } from '../support/namespace.ts';
import { until } from '../support/until.ts';

const JOBS = ['StrayRejection', 'StrayRejectionLater', 'ThrowsInTimer', 'ThrowsNothing'];

const ledger = new Ledger();
const space = testNamespace();
afterAll(async () => {
  ledger.remove();
  await space.remove();
});

it('fails the attempt they belong to; the job runs again and the worker goes on', async () => {
  await using worker = await startWorker({
    url: amqpUrl(),
    namespace: space.name,
    folder: 'test/fixtures/unruly',
    env: { LEDGER: ledger.path },
  });
  const client = await createClient({ url: amqpUrl(), namespace: space.name });
  for (const job of JOBS) await client.enqueue(job, {}, { queue: 'unruly', id: job });
  await until(() => ledger.finishes().length === JOBS.length, {
    what: 'each job to be done',
    within: 60_000,
  });
  await client.close();
  expect(
    ledger
      .finishes()
      .map(({ id, attempt }) => `${id} ${attempt}`)
      .sort(),
  ).toEqual(JOBS.map((job) => `${job} 2`).sort());
  for (const job of JOBS) await worker.process.waitForLine(new RegExp(`"level":"warn".*"job":"${job}"`));
  worker.process.kill('SIGTERM');
  expect(await worker.process.ended()).toEqual({ code: 0, signal: null });
}, 240_000);
