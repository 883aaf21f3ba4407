/**
 * npm run poison: what a job that kills its process costs those beside it, and what isolation and probation cost
 * anyone. Rounds with and without the poison take turns on one broker and one worker, so that a noisy machine
 * disturbs both alike; the figures to trust are the ratios.
 */
import { parseArgs } from 'node:util';
import { connect } from 'amqplib';
import { type Client, createClient, createRuntime, type JobClass, type Runtime } from 'warren';
import { namesFor } from '../topology/names.ts';
import { planTopology } from '../topology/plan.ts';
import { openNode } from './broker.ts';

const OPTIONS = {
  rounds: { type: 'string', default: '5' },
  jobs: { type: 'string', default: '1000' },
  ms: { type: 'string', default: '50' },
  series: { type: 'string', default: 'system' },
} as const;

const CONCURRENCY = 10;
const PREFETCH = 100;
const AIM = 0.9;
/** Behind so many innocents stands the poison. */
const AT = 10;
/** This file runs from .bench/bench, and the jobs as they are. */
const FOLDER = new URL('../../bench/poison', import.meta.url).pathname;

const { values } = parseArgs({ options: OPTIONS });
const [rounds, jobs, ms] = [Number(values.rounds), Number(values.jobs), Number(values.ms)];
const classes = (await import(`${FOLDER}/jobs.mjs`)) as Record<'Inline' | 'InProcess' | 'InThread', JobClass>;

interface Batch {
  /** From the first start to the last success of an innocent. */
  seconds: number;
  crashes: number;
  parked: number;
  /** Innocents that needed more than one attempt, crashed, or were parked. */
  harmed: number;
}

/** One worker, and what becomes of the jobs of one batch. */
class Yard {
  readonly runtime: Runtime;
  readonly client: Client;

  constructor(runtime: Runtime, client: Client) {
    this.runtime = runtime;
    this.client = client;
  }

  /** Resolves when all innocents are done and the poison, if there is one, is parked. */
  async run(count: number, job: JobClass, { poison = false, work = ms } = {}): Promise<Batch> {
    const payloads: object[] = Array.from({ length: count }, () => ({ ms: work }));
    const batch: Batch = { seconds: 0, crashes: 0, parked: 0, harmed: 0 };
    const ended = this.#watch(count, poison ? 1 : 0, batch);
    const innocents = () => this.client.enqueueMany(job, payloads.slice(AT));
    await this.client.enqueueMany(job, payloads.slice(0, AT));
    if (poison) await this.client.enqueue(job, { poison: true }, { id: POISON });
    await innocents();
    await ended;
    return batch;
  }

  #watch(innocents: number, poisons: number, batch: Batch): Promise<void> {
    return new Promise((resolve) => {
      let [began, done] = [0, 0];
      const ends: (() => void)[] = [];
      const look = () => {
        if (done < innocents || batch.parked < poisons) return;
        for (const end of ends) end();
        resolve();
      };
      ends.push(
        this.runtime.on('attempt.started', () => {
          began ||= performance.now();
        }),
        this.runtime.on('job.succeeded', ({ attempt }) => {
          if (attempt > 1) batch.harmed++;
          if (++done === innocents) batch.seconds = (performance.now() - began) / 1000;
          look();
        }),
        this.runtime.on('job.crashed', ({ id }) => void (id === POISON ? batch.crashes++ : batch.harmed++)),
        this.runtime.on('job.dead', ({ id }) => {
          if (id === POISON) batch.parked++;
          else batch.harmed++;
          look();
        }),
      );
    });
  }
}

const POISON = 'poison';

async function openYard(url: string, namespace: string): Promise<{ yard: Yard; close(): Promise<void> }> {
  const runtime = createRuntime({
    url,
    namespace,
    jobs: Object.values(classes),
    workers: FOLDER,
    queues: { poison: { concurrency: CONCURRENCY, prefetch: PREFETCH } },
    http: false,
    signals: false,
    logger: false,
  });
  const attached = new Promise<void>((resolve) => runtime.on('consumer.attached', () => resolve()));
  const running = runtime.run();
  await Promise.race([attached, running]);
  const client = await createClient({ url, namespace });
  const close = async () => {
    await client.close();
    await runtime.stop();
    await running;
  };
  return { yard: new Yard(runtime, client), close };
}

async function measurePoison(yard: Yard): Promise<boolean> {
  const job = classes.InProcess;
  await yard.run(CONCURRENCY * 4, job);
  const [clean, poisoned]: [Batch[], Batch[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    const both = [
      async () => clean.push(await yard.run(jobs, job)),
      async () => poisoned.push(await yard.run(jobs, job, { poison: true })),
    ];
    for (const one of round % 2 === 0 ? both : both.toReversed()) await one();
  }
  const rates = (batches: Batch[]) => median(batches.map(({ seconds }) => jobs / seconds));
  const ratio = rates(poisoned) / rates(clean);
  const sum = (of: (batch: Batch) => number) => poisoned.reduce((total, batch) => total + of(batch), 0);
  const marks = sum(({ crashes }) => crashes) / rounds;
  const parked = sum((batch) => batch.parked);
  const harmed = [...clean, ...poisoned].reduce((total, batch) => total + batch.harmed, 0);
  say(
    `1 poison among ${jobs} innocents of ${ms} ms, concurrency ${CONCURRENCY}, prefetch ${PREFETCH}, process isolation, ${rounds} rounds each`,
  );
  say(
    `  innocents a second: ${rates(clean).toFixed(0)} without, ${rates(poisoned).toFixed(0)} with it; ratio ${ratio.toFixed(3)} (aim ${AIM})`,
  );
  say(
    `  the poison: ${marks} crash marks a round, parked in ${parked} of ${rounds}; innocents harmed: ${harmed}`,
  );
  return ratio >= AIM && marks === 3 && parked === rounds && harmed === 0;
}

async function measureIsolation(yard: Yard): Promise<void> {
  const kinds = Object.entries(classes);
  const rates = new Map<string, number[]>(kinds.map(([name]) => [name, []]));
  for (const [, job] of kinds) await yard.run(CONCURRENCY * 10, job, { work: 0 });
  for (let round = 0; round < rounds; round++)
    for (const [name, job] of kinds) {
      const { seconds } = await yard.run(jobs, job, { work: 0 });
      rates.get(name)?.push(jobs / seconds);
    }
  const inline = median(rates.get('Inline') ?? []);
  say(`empty jobs a second, concurrency ${CONCURRENCY}`);
  for (const [name, all] of rates)
    say(
      `  ${name.padEnd(10)}${median(all).toFixed(0).padStart(7)}   ${(median(all) / inline).toFixed(2)} of inline`,
    );
}

/** Inline jobs that carry a crash mark, as they come back from a crash. */
async function measureProbation(yard: Yard, url: string, namespace: string): Promise<void> {
  const names = namesFor(namespace);
  const connection = await connect(url);
  const channel = await connection.createChannel();
  const count = Math.min(jobs, 200);
  const rates: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const began = performance.now();
    const ended = untilDone(yard.runtime, count);
    for (let n = 0; n < count; n++)
      channel.publish(names.jobs, names.queue('poison'), Buffer.from('{}'), {
        type: 'Inline',
        messageId: `suspect-${round}-${n}`,
        headers: { 'warren-crashes': 1 },
      });
    await ended;
    rates.push(count / ((performance.now() - began) / 1000));
  }
  await connection.close();
  say(`probation: ${median(rates).toFixed(0)} empty suspects a second`);
}

function untilDone(runtime: Runtime, count: number): Promise<void> {
  return new Promise((resolve) => {
    let done = 0;
    const end = runtime.on('job.succeeded', () => {
      if (++done < count) return;
      end();
      resolve();
    });
  });
}

function median(numbers: number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function removeAll(url: string, namespace: string): Promise<void> {
  const plan = planTopology({
    names: namesFor(namespace),
    queues: [{ name: 'poison' }],
    delays: [500, 1000],
  });
  const connection = await connect(url);
  const channel = await connection.createChannel();
  for (const { name } of plan.queues) await channel.deleteQueue(name);
  for (const { name } of plan.exchanges) await channel.deleteExchange(name);
  await connection.close();
}

const node = openNode(values.series);
const namespace = `poison-${process.pid}`;
const { yard, close } = await openYard(node.url, namespace);
let good = false;
try {
  good = await measurePoison(yard);
  await measureIsolation(yard);
  await measureProbation(yard, node.url, namespace);
} finally {
  await close();
  await removeAll(node.url, namespace).catch(() => {});
  node.remove();
}
process.exit(good ? 0 : 1);
