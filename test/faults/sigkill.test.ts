/** Promises 1 to 4 under SIGKILL: ten thousand jobs, the worker killed five times and the broker twice. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type Client, createClient } from 'warren';
import { type Program, startWorker } from '../stories/support.ts';
import { type PrivateBroker, startPrivateBroker } from '../support/broker.ts';
import { Ledger } from '../support/ledger.ts';
import { until } from '../support/until.ts';

const JOBS = 10_000;
/** Of each hundred jobs so many fail once. */
const FAILING = 2;
/** Enqueued and not finished at most, so that the kills strike enqueues as well. */
const AHEAD = 1_500;
/** Who is killed once so many jobs are finished. */
const KILLS: [finished: number, whom: 'worker' | 'broker'][] = [
  [1_000, 'worker'],
  [2_000, 'broker'],
  [3_000, 'worker'],
  [4_500, 'worker'],
  [6_000, 'broker'],
  [7_000, 'worker'],
  [8_500, 'worker'],
];

const ledger = new Ledger();
let broker: PrivateBroker;
let worker: Program;
let client: Client;

const launch = () =>
  startWorker({
    url: broker.url,
    folder: 'test/fixtures/ledger',
    queues: ['ledger:60'],
    env: { LEDGER: ledger.path, WARREN_LOG_LEVEL: 'error' },
  });

beforeAll(async () => {
  broker = await startPrivateBroker();
  worker = await launch();
  client = await createClient({ url: broker.url, deadline: '180s' });
}, 240_000);

afterAll(async () => {
  await client?.close();
  await worker?.[Symbol.asyncDispose]();
  await broker?.remove();
  ledger.remove();
}, 120_000);

it('loses none of 10,000 jobs while the worker is killed five times and the broker twice', async () => {
  const accepted: string[] = [];
  const enqueuing = enqueueAll(accepted);
  enqueuing.catch(() => {}); // awaited below
  for (const [finished, whom] of KILLS) {
    await finishedAtLeast(finished);
    if (whom === 'worker') await killWorker();
    else await killBroker();
  }
  await enqueuing;
  // A retry that fell due while the broker started, RabbitMQ may offer again only after 180 s.
  await until(() => ledger.tally(accepted).lost.length === 0, {
    within: 300_000,
    every: 500,
    what: 'every job',
  });
  const tally = ledger.tally(accepted);
  process.stdout.write(
    `accepted ${tally.accepted}, done ${tally.done}, lost ${tally.lost.length}, ` +
      `begun more than once ${tally.startedAgain.length}, finished more than once ${tally.doneAgain.length}\n`,
  );
  expect(accepted).toHaveLength(JOBS);
  expect(tally).toMatchObject({ done: JOBS, lost: [], unasked: [] });
  expectOnlyRealFailuresCounted();
}, 900_000);

async function enqueueAll(accepted: string[]): Promise<void> {
  for (let sent = 0; sent < JOBS; sent += 100) {
    await finishedAtLeast(sent - AHEAD);
    const batch = Array.from({ length: 100 }, (_, n) =>
      client.enqueue(
        'LedgerJob',
        { ms: 40, failures: n < FAILING ? 1 : 0 },
        { queue: 'ledger', id: `job-${sent + n}` },
      ),
    );
    for (const { id } of await Promise.all(batch)) accepted.push(id);
  }
}

async function finishedAtLeast(count: number): Promise<void> {
  if (count <= 0) return;
  await until(() => ledger.finishes().length >= count, {
    within: 180_000,
    every: 100,
    what: `${count} finished jobs`,
  });
}

async function killWorker(): Promise<void> {
  worker.process.kill('SIGKILL');
  await worker.process.ended();
  worker = await launch();
}

async function killBroker(): Promise<void> {
  await broker.kill();
  await broker.start();
}

/** No kill spent an attempt: who was to fail once finished at attempt 2, all others at attempt 1. */
function expectOnlyRealFailuresCounted(): void {
  const wrong = ledger
    .finishes()
    .filter(({ id, attempt }) => attempt !== (Number(id.slice('job-'.length)) % 100 < FAILING ? 2 : 1));
  expect(wrong).toEqual([]);
}
