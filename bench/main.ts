/**
 * warren beside bare amqplib, in one run on one broker. The sides take turns round by round, each in a process of
 * its own, so that a noisy machine disturbs both alike; the figures to trust are the ratios.
 */
import { writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { anyTime, SIZES } from './any-time.ts';
import { Ground, openNode } from './broker.ts';
import type { SideName } from './child.ts';
import type { Order, Round } from './drive.ts';
import { type Figure, figuresOf, profileTable, type Rounds, table } from './report.ts';
import { SCENARIOS, type Scenario } from './scenarios.ts';
import { Side } from './side.ts';

const USAGE = `usage: npm run bench -- [SCENARIO…] [--quick] [--json[=FILE]] [--rounds N] [--scale F] [--series 3.10|4.3|system]
       npm run bench -- any-time [--quick] [--series …]     jobs for later: rate, memory, lateness by bits
       npm run bench -- --profile SCENARIO [--side warren|bare|floor]

Scenarios (default: all): ${SCENARIOS.map(({ name }) => name).join(' ')}
--quick     smaller and fewer rounds: under two minutes, for a look
--json      figures and rounds as JSON on stdout instead of the table (or beside it, in FILE)
--scale     multiplies the numbers of jobs
--series    RabbitMQ of the private node that is started where AMQP_URL is not set
--profile   CPU by area and function, in µs a job, over one warm round`;

const OPTIONS = {
  quick: { type: 'boolean', default: false },
  json: { type: 'string' },
  rounds: { type: 'string' },
  scale: { type: 'string', default: '1' },
  series: { type: 'string', default: 'system' },
  profile: { type: 'boolean', default: false },
  side: { type: 'string', default: 'warren' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** The whole run, and one round of one side. */
const BUDGET_MS = { full: 15 * 60_000, quick: 90_000 };
const ROUND_TIMEOUT_MS = 90_000;

/** Each has a work queue of its name. */
const SIDES: readonly SideName[] = ['warren', 'bare', 'floor'];

interface Results {
  figures: Figure[];
  rounds: Record<string, Rounds>;
  troubles: string[];
}

class Bench {
  readonly #url: string;
  readonly #namespace: string;
  readonly #ground: Ground;
  readonly #deadline: number;
  readonly results: Results = { figures: [], rounds: {}, troubles: [] };

  constructor(url: string, namespace: string, ground: Ground, budget: number) {
    this.#url = url;
    this.#namespace = namespace;
    this.#ground = ground;
    this.#deadline = Date.now() + budget;
  }

  /**
   * Rounds, and within a round the sides, in turned order every other time. On a slow machine there are fewer
   * rounds: a scenario may take twice its share of the time that is left for it and those `after` it.
   */
  async measure(scenario: Scenario, after: number): Promise<void> {
    if (Date.now() > this.#deadline) {
      this.results.troubles.push(`${scenario.title}: not measured, the time for the whole run was over`);
      return;
    }
    const until = Date.now() + (2 * (this.#deadline - Date.now())) / (after + 1);
    const sides = scenario.sides.map((name) => new Side(name, this.#url, this.#namespace));
    const rounds: Rounds = Object.fromEntries(scenario.sides.map((name) => [name, []]));
    try {
      for (const side of sides) await this.#round(side, { ...scenario, jobs: Math.ceil(scenario.jobs / 4) });
      for (let at = 0; at < scenario.rounds && (at === 0 || Date.now() < until); at++)
        for (const side of at % 2 === 0 ? sides : sides.toReversed())
          rounds[side.name]?.push(await this.#round(side, scenario));
    } finally {
      for (const side of sides) side.end();
    }
    this.results.rounds[scenario.name] = rounds;
    this.results.figures.push(...figuresOf(scenario, rounds));
  }

  async #round(side: Side, scenario: Scenario): Promise<Round> {
    const order = this.#order(scenario, side.name);
    await this.#prepare(order);
    const { round } = await side.run({ order }, ROUND_TIMEOUT_MS);
    await this.#finish(order, round, side.name);
    return round;
  }

  async profile(scenario: Scenario, name: SideName): Promise<string> {
    const side = new Side(name, this.#url, this.#namespace);
    try {
      await this.#round(side, scenario);
      const order = this.#order(scenario, name);
      await this.#prepare(order);
      const { round, profile = [] } = await side.run({ order, profile: true }, ROUND_TIMEOUT_MS);
      await this.#finish(order, round, name);
      const cpu = (round.cpuMicros / round.jobs).toFixed(2).padStart(8);
      return `${name}, ${scenario.title}, ${round.jobs} jobs\n${cpu}  µs/job of process CPU\n${profileTable(profile, round.jobs)}`;
    } finally {
      side.end();
    }
  }

  #order({ kind, jobs, width, rate, logs }: Scenario, side: SideName): Order {
    return { kind, jobs, width, rate, logs, queue: side };
  }

  async #prepare({ kind, queue, jobs }: Order): Promise<void> {
    if (kind === 'drain' || kind === 'memory' || kind === 'retry') await this.#ground.fill(queue, jobs);
  }

  /** Nothing may be left or run twice: a fast side that loses is not fast. */
  async #finish({ kind, queue, jobs }: Order, { repeats }: Round, side: SideName): Promise<void> {
    const left = await this.#ground.ready(queue);
    const due = kind.startsWith('enqueue') ? jobs : 0;
    if (left !== due)
      this.results.troubles.push(`${side}, ${kind}: ${left} messages ready afterwards, not ${due}`);
    if (repeats > 0) this.results.troubles.push(`${side}, ${kind}: ${repeats} of ${jobs} jobs ran twice`);
    await this.#ground.empty(queue);
  }
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    args: jsonAlone(process.argv.slice(2)),
    options: OPTIONS,
    allowPositionals: true,
  });
  if (values.help) return say(USAGE, 0);
  if (positionals[0] === 'any-time') return later(values);
  const chosen = choose(positionals, values);
  if (typeof chosen === 'string') return say(chosen, 2);

  const node = openNode(values.series);
  process.once('exit', () => node.remove());
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  const namespace = `bench-${process.pid}`;
  const ground = await Ground.open(node.url, namespace, SIDES);
  try {
    const bench = new Bench(node.url, namespace, ground, values.quick ? BUDGET_MS.quick : BUDGET_MS.full);
    if (values.profile) {
      for (const scenario of chosen) say(await bench.profile(scenario, values.side as SideName));
      return 0;
    }
    return await compare(bench, chosen, { ...machine(ground.version), quick: values.quick }, values.json);
  } finally {
    await ground.remove();
  }
}

async function later({ series, quick }: { series: string; quick: boolean }): Promise<number> {
  const node = openNode(series);
  process.once('exit', () => node.remove());
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  return say(await anyTime(node, quick ? SIZES.quick : SIZES.full));
}

async function compare(
  bench: Bench,
  scenarios: readonly Scenario[],
  about: object,
  json?: string,
): Promise<number> {
  const quiet = json === '-';
  const tell = quiet ? () => {} : (text: string) => process.stderr.write(text);
  if (!quiet)
    say(
      Object.entries(about)
        .map(([key, value]) => `${key} ${value}`)
        .join(' · '),
    );
  for (const [at, scenario] of scenarios.entries()) {
    tell(`${scenario.title} … `);
    const began = Date.now();
    await bench.measure(scenario, scenarios.length - at - 1);
    tell(`${((Date.now() - began) / 1000).toFixed(0)} s\n`);
  }
  const { figures, troubles } = bench.results;
  const whole = JSON.stringify({ ...about, ...bench.results }, null, 1);
  if (quiet) say(whole);
  else say(`\n${table(figures)}\n`);
  if (json !== undefined && !quiet) writeFileSync(json, whole);
  for (const trouble of troubles) console.error(`! ${trouble}`);
  return troubles.length > 0 ? 1 : 0;
}

function choose(
  names: readonly string[],
  values: { quick: boolean; rounds?: string; scale: string },
): Scenario[] | string {
  const unknown = names.find((name) => !SCENARIOS.some((scenario) => scenario.name === name));
  if (unknown !== undefined) return `there is no scenario '${unknown}'\n${USAGE}`;
  const scale = Number(values.scale);
  return SCENARIOS.filter(({ name }) => names.length === 0 || names.includes(name)).map((scenario) => {
    const sized = values.quick ? { ...scenario, ...scenario.quick } : scenario;
    return { ...sized, jobs: Math.ceil(sized.jobs * scale), rounds: Number(values.rounds ?? sized.rounds) };
  });
}

/** `--json` alone means stdout. */
function jsonAlone(args: string[]): string[] {
  return args.map((arg) => (arg === '--json' ? '--json=-' : arg));
}

function machine(rabbitmq: string) {
  const load = loadavg()[0] ?? 0;
  return {
    rabbitmq,
    node: process.version,
    cpus: `${cpus().length} × ${cpus()[0]?.model}`,
    load: load.toFixed(2),
  };
}

function say(text: string, exitCode = 0): number {
  console.log(text);
  return exitCode;
}

process.exitCode = await main();
