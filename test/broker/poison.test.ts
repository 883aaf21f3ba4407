/** Promise 6 for inline jobs of a supervised worker: who takes a whole process down harms itself alone. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type Client, createClient } from 'warren';
import { amqpUrl } from '../support/broker.ts';
import { Family } from '../support/family.ts';
import { Ledger } from '../support/ledger.ts';
import { testNamespace } from '../support/namespace.ts';
import { until } from '../support/until.ts';
import { warren } from '../support/warren.ts';

const INNOCENTS = 60;
/** So few at once that a worker which goes down holds dozens that it had not begun. */
const QUEUES = { family: { concurrency: 4, prefetch: 40 } };

let folder: string;
let config: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'warren-poison-'));
  config = join(folder, 'warren.config.json');
  await writeFile(config, JSON.stringify({ queues: QUEUES }));
});
afterAll(() => rm(folder, { recursive: true }));

/** What stands in the log of all processes. */
const logged = (family: Family, msg: string) =>
  family.parent.lines
    .filter((line) => line.startsWith('{'))
    // biome-ignore lint/suspicious/noExplicitAny: the test says what it expects in it
    .map((line) => JSON.parse(line) as Record<string, any>)
    .filter((line) => line.msg === msg);

const SUSPECTED = 'job is on probation: it came back too often, so it runs alone in a child process';

interface Evidence {
  exitCode: number | null;
  signal: string | null;
}

/** By name, which is also how they end their process. */
const POISONS: Record<string, Evidence> = {
  exit: { exitCode: 70, signal: null },
  abort: { exitCode: null, signal: 'SIGABRT' },
};

/** The poisons come early: most of the others are held beside them, by whichever worker has them. */
async function enqueue(client: Client): Promise<string[]> {
  const kept: string[] = [];
  for (let n = 0; n < INNOCENTS; n++) {
    const how = Object.keys(POISONS)[n - 2];
    if (how) await client.enqueue('Poison', { how }, { queue: 'family', id: how });
    kept.push((await client.enqueue('FamilyJob', { ms: 50 }, { queue: 'family' })).id);
  }
  return kept;
}

it('two that end their processes are parked with their evidence, and their neighbours never notice', async () => {
  await using space = testNamespace();
  using ledger = new Ledger();
  const env = { AMQP_URL: amqpUrl(), WARREN_NAMESPACE: space.name };
  const declared = await warren(['topology', 'apply', '--workers', 'test/fixtures/family'], env);
  expect(declared.code).toBe(0);
  const client = await createClient({ url: amqpUrl(), namespace: space.name });
  const accepted = await enqueue(client);
  await client.close();

  await using family = await Family.start({
    ...{ url: amqpUrl(), namespace: space.name, ledger: ledger.path, config },
  });
  await until(() => logged(family, 'job is dead').length === 2, { within: 60_000, what: 'both to be dead' });
  await until(() => ledger.tally(accepted).lost.length === 0, { within: 30_000, what: 'all innocents' });

  const crashes = logged(family, 'job took its process down');
  expect(crashes).toHaveLength(6);
  // It ends by a silence, which a busy broker may keep.
  const show = async () => {
    const letters = (await warren(['dead', 'show', 'family', '--all', '--json'], env)).json();
    return letters.length >= 2 ? letters : undefined;
  };
  const dead = await until(show, { what: 'both letters' });
  expect(dead).toHaveLength(2);
  for (const [id, evidence] of Object.entries(POISONS)) {
    expect(crashes.filter((line) => line.id === id)).toMatchObject(
      [1, 2, 3].map((mark) => ({ job: 'Poison', attempt: 1, crashes: mark, ...evidence })),
    );
    const letter = dead.find((one: { id: string }) => one.id === id);
    expect(letter).toMatchObject({ reason: 'crashed', crashes: 3, attempt: 1 });
    expect(letter.headers['warren-error']).toEqual({
      name: 'JobCrashedError',
      message: expect.stringContaining(evidence.signal ?? `exit code ${evidence.exitCode}`),
      stack: expect.stringContaining('what it wrote last'),
    });
  }

  const innocents = ledger.entries.filter(({ id }) => accepted.includes(id));
  expect(innocents.filter(({ attempt }) => attempt !== 1)).toEqual([]);
  // They were held with a poison each time, so that a mark could have met them.
  const suspects = new Set(logged(family, SUSPECTED).map(({ id }) => id));
  expect(suspects.size).toBeGreaterThan(12);

  // Each takes two workers with it, or one that another took as well; from then on its children alone.
  await family.ready();
  const deaths = logged(family, 'worker process died');
  expect([2, 3, 4]).toContain(deaths.length);
  for (const { code, signal, lastWords } of deaths) {
    expect(Object.values(POISONS)).toContainEqual({ exitCode: code, signal });
    expect(lastWords).toContain('what it wrote last');
  }
  // Where one of them met with three of those deaths it says so for a minute; nothing else is wrong.
  const isWell = ({ status, processes, reasons = [] }: Awaited<ReturnType<Family['health']>>) =>
    processes.some(({ restarts }) => restarts >= 3)
      ? reasons.every((reason) => reason.includes('restarts in a loop'))
      : status === 'ok';
  const { processes } = await until(
    async () => {
      const health = await family.health();
      return isWell(health) ? health : undefined;
    },
    { what: 'all to be well' },
  );
  expect(processes.reduce((sum, { restarts }) => sum + restarts, 0)).toBe(deaths.length);
  expect((await family.metrics())('warren_process_restarts_total')).toBe(deaths.length);
  // Not all six: a worker that goes down takes along what it counted since the last scrape.
  const poisoned = async () => (await family.metrics())('warren_crashes_total{job="Poison",queue="family"}');
  await until(async () => (await poisoned()) > 0, { what: 'crashes to be counted' });
  expect((await family.metrics())('warren_crashes_total{job="FamilyJob",queue="family"}')).toBe(0);
  family.parent.kill('SIGTERM');
  expect(await family.parent.ended()).toEqual({ code: 0, signal: null });
}, 180_000);
