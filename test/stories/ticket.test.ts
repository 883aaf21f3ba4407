/** Story 4: the ticket that wedges its worker. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type Client, createClient } from 'warren';
import { amqpUrl } from '../support/broker.ts';
import { Ledger } from '../support/ledger.ts';
import { testNamespace } from '../support/namespace.ts';
import { type RunningProcess, spawnWarren } from '../support/process.ts';
import { until } from '../support/until.ts';
import { warren } from '../support/warren.ts';

/** On each side of the poison, so that most of them are held with it when the worker goes down. */
const INNOCENTS = 60;

const ledger = new Ledger();
const space = testNamespace();
const env = (more: NodeJS.ProcessEnv = {}) => ({
  AMQP_URL: amqpUrl(),
  WARREN_NAMESPACE: space.name,
  LEDGER: ledger.path,
  ...more,
});
let folder: string;
let client: Client;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'warren-ticket-'));
  const queues = { tickets: { concurrency: 5, prefetch: 100 } };
  await writeFile(join(folder, 'warren.config.json'), JSON.stringify({ queues }));
  const declared = await warren(['topology', 'apply', '--workers', 'test/fixtures/ticket'], env());
  expect(declared.code).toBe(0);
  client = await createClient({ url: amqpUrl(), namespace: space.name });
});

afterAll(async () => {
  await client?.close();
  await space.remove();
  ledger.remove();
  await rm(folder, { recursive: true, force: true });
});

/** Started again by whoever looks after it, as often as it dies. */
class Service implements AsyncDisposable {
  readonly runs: RunningProcess[] = [];
  readonly #env: NodeJS.ProcessEnv;
  #wanted = true;

  constructor(more: NodeJS.ProcessEnv = {}) {
    this.#env = env(more);
    this.#start();
  }

  /** What all of its runs logged. */
  // biome-ignore lint/suspicious/noExplicitAny: the tests say what they expect in it
  get lines(): Record<string, any>[] {
    const whole = (line: string) => line.startsWith('{') && line.endsWith('}');
    return this.runs.flatMap(({ lines }) => lines.filter(whole).map((line) => JSON.parse(line)));
  }

  #start(): void {
    const flags = ['--workers', 'test/fixtures/ticket', '--config', join(folder, 'warren.config.json')];
    const run = spawnWarren(['work', ...flags, '--no-http'], { env: this.#env });
    run.child.on('close', () => this.#wanted && this.#start());
    this.runs.push(run);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#wanted = false;
    const last = this.runs.at(-1);
    last?.kill('SIGTERM');
    await last?.ended({ within: 120_000 });
  }
}

const crashesIn = (service: Service) =>
  service.lines.filter(({ msg }) => msg === 'job took its process down');

it('is found out among its neighbours, told at each crash, and parked with its evidence', async () => {
  const enqueue = (name: string) =>
    Array.from({ length: INNOCENTS }, (_, n) =>
      client.enqueue('Ticket', {}, { queue: 'tickets', id: `${name}-${n}` }),
    );
  await Promise.all(enqueue('before'));
  await client.enqueue('Ticket', { poison: true }, { queue: 'tickets', id: 'poison' });
  await Promise.all(enqueue('after'));

  await using service = new Service();
  await until(() => service.lines.some(({ msg }) => msg === 'job is dead'), {
    within: 180_000,
    what: 'the end of the poison',
  });
  // Some of them may be done twice: they were done when the worker went down, and not yet acked.
  const innocents = () => ledger.finishes().filter(({ id }) => id !== 'poison');
  await until(() => new Set(innocents().map(({ id }) => id)).size === 2 * INNOCENTS, {
    within: 120_000,
    what: 'all innocents',
  });

  // The first two times it took the whole worker with it; from then on only its child.
  expect(service.runs.map(({ child }) => child.signalCode)).toEqual(['SIGKILL', 'SIGKILL', null]);
  expect(
    crashesIn(service).map(({ id, job, crashes, signal, attempt }) => ({
      id,
      job,
      crashes,
      signal,
      attempt,
    })),
  ).toEqual(
    [1, 2, 3].map((crashes) => ({ id: 'poison', job: 'Ticket', crashes, signal: 'SIGKILL', attempt: 1 })),
  );
  const dead = (await warren(['dead', 'list', 'tickets', '--json'], env())).json();
  expect(dead).toEqual([
    expect.objectContaining({ id: 'poison', reason: 'crashed', crashes: 3, attempt: 1 }),
  ]);
  expect(dead[0].error).toMatchObject({
    name: 'JobCrashedError',
    message: expect.stringContaining('SIGKILL'),
  });
  expect(ledger.finishes().filter(({ id }) => id === 'poison')).toEqual([]);
  expect(innocents().filter(({ attempt }) => attempt !== 1)).toEqual([]);
}, 480_000);

it('escapes by itself once it is mended, with its attempt unspent', async () => {
  await client.enqueue('Ticket', { poison: true }, { queue: 'tickets', id: 'mended' });
  {
    // Its second wait is longer than any stop takes: a third crash would park it.
    await using broken = new Service({ BACKOFF: '500ms 15s' });
    await until(() => crashesIn(broken).length > 0, { within: 180_000, what: 'its first mark' });
  }
  await using _mended = new Service({ MENDED: 'yes', BACKOFF: '500ms 15s' });
  const done = () => ledger.finishes().find(({ id }) => id === 'mended');
  await until(done, { within: 90_000, what: 'its success' });
  expect(done()).toMatchObject({ attempt: 1 });
}, 480_000);
