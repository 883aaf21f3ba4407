/** Everything a fault is played with: a broker, workers, a client under load, a ledger, and a proxy in between. */
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, createClient } from 'warren';
import { alive } from '../support/alive.ts';
import { Ledger } from '../support/ledger.ts';
import { testNamespace } from '../support/namespace.ts';
import { root } from '../support/process.ts';
import { type FaultProxy, startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { warren } from '../support/warren.ts';
import { Crew } from './crew.ts';
import type { Ground } from './ground.ts';
import { ATTEMPTS, DEADLINE_MS, Load, type LoadSettings, MAX_CRASHES } from './load.ts';
import { Operator } from './operator.ts';
import { type Deletion, type Facts, runOf } from './oracle.ts';
import type { Scenario } from './scenario.ts';

/** How much is done in each part of a run. */
export interface Size {
  load: LoadSettings;
  /** Jobs done before the fault and after it. */
  done: number;
  /** How long the consumers may be away after it. */
  mostMsWithoutConsumers: number;
}

export const FULL: Size = {
  load: { rate: 60, burst: 150, pending: 100, ms: [60, 700], failing: true },
  done: 100,
  mostMsWithoutConsumers: 10_000,
};
export const QUICK: Size = {
  load: { rate: 40, burst: 40, pending: 60, ms: [30, 500], failing: true },
  done: 30,
  // Tests of other files take the processor, too.
  mostMsWithoutConsumers: 30_000,
};

/** Queues of a run that jobs can be in, beside the dead queue. */
const PLACES = ['faults', 'delayed-1s', 'unrouted', 'faults.dead'];
/** Jobs a worker runs at once, and holds at most while they are as long as these. */
export const CONCURRENCY = 10;
/** What falls due while its queue is gone or not up yet, RabbitMQ may offer again only after 180 s. */
const DRAIN_MS = 240_000;
const HEAL_WITHIN_MS = 60_000;

export class Stage {
  readonly scenario: Scenario;
  readonly ground: Ground;
  readonly size: Size;
  readonly ledger = new Ledger();
  readonly operator: Operator;
  readonly proxy: FaultProxy;
  readonly crew: Crew;
  readonly client: Client;
  readonly load: Load;
  readonly deletions: Deletion[] = [];
  readonly #notes: string[] = [];
  /** For processes that are to work beside the crew. */
  readonly env: NodeJS.ProcessEnv;
  #healedAt: number | undefined;
  #consumersMs: number | undefined;
  #healMs: number | undefined;

  private constructor(
    scenario: Scenario,
    ground: Ground,
    size: Size,
    set: { name: string; client: Client; operator: Operator; proxy: FaultProxy; url: string },
  ) {
    this.scenario = scenario;
    this.ground = ground;
    this.size = size;
    this.env = {
      AMQP_URL: set.url,
      WARREN_NAMESPACE: set.name,
      LEDGER: this.ledger.path,
      WARREN_LOG_LEVEL: 'debug',
      ...scenario.env,
    };
    this.operator = set.operator;
    this.proxy = set.proxy;
    this.client = set.client;
    this.load = new Load(set.client, { ...size.load, ...scenario.load });
    this.crew = new Crew({
      url: set.url,
      namespace: set.name,
      folder: 'test/fixtures/faults',
      queues: [`faults:${CONCURRENCY}`],
      grace: '30s',
      env: this.env,
    });
  }

  /** With its workers ready and nothing enqueued. */
  static async open(scenario: Scenario, ground: Ground, size: Size): Promise<Stage> {
    const { name } = testNamespace();
    const operator = new Operator(ground, name);
    await operator.addUser();
    const proxy = await startProxy(ground.urls[0]);
    const url = operator.urls(scenario.proxied ? [proxy.url] : undefined);
    const client = await createClient({ url: url.split(','), namespace: name, deadline: DEADLINE_MS });
    const stage = new Stage(scenario, ground, size, { name, client, operator, proxy, url });
    await stage.crew.start(scenario.workers ?? 2).catch(async (error: Error) => {
      await stage[Symbol.asyncDispose]();
      throw error;
    });
    return stage;
  }

  /** Resolves when jobs run, wait and have failed. */
  async underLoad(): Promise<void> {
    this.load.start();
    const failures = () => this.ledger.entries.filter(({ what }) => what === 'fail').length;
    await until(() => this.ledger.finishes().length >= this.size.done && (failures() > 3 || !this.#failing), {
      within: 60_000,
      every: 100,
      what: 'the load to be under way',
    });
  }

  get #failing(): boolean {
    return this.scenario.load?.failing ?? this.size.load.failing;
  }

  /** Watches until all consumers are back and a job enqueued since `mended` is done. Never rejects. */
  async heal(mended: number): Promise<void> {
    const within = HEAL_WITHIN_MS;
    await until(() => this.#allConsuming(), { within, every: 100, what: 'all consumers' })
      .then(() => (this.#consumersMs = Date.now() - mended))
      .catch((error: Error) => this.#notes.push(error.message));
    await until(() => this.#finishedSince(mended), {
      within,
      every: 100,
      what: 'a job enqueued after the fault to be done',
    })
      .then(() => (this.#healMs = Date.now() - mended))
      .catch((error: Error) => this.#notes.push(error.message));
    this.#healedAt = Date.now();
  }

  /** As the workers say, and as the broker says. */
  async #allConsuming(): Promise<boolean> {
    if (!(await this.crew.allReady())) throw new Error('a worker is not ready');
    const wanted = this.crew.working.length * (this.scenario.consumersEach ?? 1);
    const count = await this.operator.consumers('faults');
    // A cluster goes on counting the consumers that were connected through a node that is away.
    if (count === wanted || (count > wanted && this.scenario.needs === 'cluster')) return true;
    throw new Error(`${count} instead of ${wanted}`);
  }

  #finishedSince(moment: number): boolean {
    return this.ledger.finishes().some(({ id }) => (this.load.accepted.get(id)?.enqueuedAt ?? 0) >= moment);
  }

  /** As an operator does it: `warren topology apply`. */
  async applyTopology(): Promise<void> {
    const { code, stderr } = await warren(
      ['topology', 'apply', '--workers', 'test/fixtures/faults'],
      this.env,
    );
    if (code !== 0) throw new Error(`topology apply: ${stderr}`);
  }

  /** Goes on under load for a while, then stops it and waits until nothing is left to do. Never rejects. */
  async finish(): Promise<void> {
    const enough = this.ledger.finishes().length + this.size.done;
    await this.#quietly(
      () => this.ledger.finishes().length >= enough,
      'work to go on after the fault',
      60_000,
    );
    await this.load.stop();
    await this.#quietly(
      () => this.#open().length === 0 && !this.#running(),
      'everything to be done or dead',
      this.scenario.drainMs ?? DRAIN_MS,
    );
    if (this.deletions.length > 0) await this.#untilQueuesAreEmpty();
    await this.crew.stop();
  }

  /** Accepted, not done, not failed for the last time, and not lost to an operator. */
  #open(): string[] {
    const over = new Set<string>();
    const starts = new Map<string, number>();
    for (const { id, what, attempt } of this.ledger.entries) {
      if (what === 'start') starts.set(id, (starts.get(id) ?? 0) + 1);
      const crashed =
        (this.load.accepted.get(id)?.crashes ?? 0) >= MAX_CRASHES && starts.get(id) === MAX_CRASHES;
      if (crashed || what === 'finish' || (what === 'fail' && attempt === ATTEMPTS)) over.add(id);
    }
    const deleted = Math.max(0, ...this.deletions.map(({ at }) => at));
    return [...this.load.accepted]
      .filter(([id, { enqueuedAt }]) => enqueuedAt >= deleted && !over.has(id))
      .map(([id]) => id);
  }

  /** So many jobs can be anywhere on the broker at most. */
  unfinished(): number {
    const over = new Set(this.ledger.finishes().map(({ id }) => id));
    return this.load.pending + [...this.load.accepted.keys()].filter((id) => !over.has(id)).length;
  }

  /** Also a run whose job was done elsewhere meanwhile: a stop in the middle of it would rightly end with 3. */
  #running(): boolean {
    const pids = new Map<string, number>();
    for (const entry of this.ledger.entries) {
      if (entry.what === 'start') pids.set(runOf(entry), entry.pid);
      else pids.delete(runOf(entry));
    }
    return [...pids.values()].some(alive);
  }

  /** Whatever was not deleted has run by then: nothing waits, and has not for longer than the delay of a retry. */
  async #untilQueuesAreEmpty(): Promise<void> {
    let since = Date.now();
    await this.#quietly(
      async () => {
        const waiting = await Promise.all(
          ['faults', 'delayed-1s', 'unrouted'].map((queue) => this.operator.ready(queue)),
        );
        const busy = Date.now() - Math.max(...this.ledger.entries.map(({ at }) => at)) < 2000;
        if (busy || waiting.some((count) => count > 0)) since = Date.now();
        return Date.now() - since > 2000;
      },
      'the queues to be empty',
      60_000,
    );
  }

  async #quietly(condition: () => boolean | Promise<boolean>, what: string, within: number): Promise<void> {
    await until(condition, { within, every: 200, what }).catch((error: Error) =>
      this.#notes.push(error.message),
    );
  }

  async facts(): Promise<Facts> {
    const [work, delayed, parked, dead] = await Promise.all(
      PLACES.map((queue) => this.operator.idsIn(queue)),
    );
    return {
      attempts: ATTEMPTS,
      maxCrashes: MAX_CRASHES,
      accepted: this.load.accepted,
      refused: this.load.refused,
      entries: this.ledger.entries,
      redelivered: this.crew.redelivered(),
      waiting: new Set([...(work ?? []), ...(delayed ?? [])]),
      parked: parked ?? new Set(),
      dead: dead ?? new Set(),
      cause: this.scenario.twice,
      deletions: this.deletions,
      healedAt: this.#healedAt,
      consumersMs: this.#consumersMs,
      healMs: this.#healMs,
      mostMsWithoutConsumers: this.size.mostMsWithoutConsumers,
      stalledMs: this.load.stalledMs,
      killed: this.crew.killed,
      exits: await this.crew.exits(),
      notes: this.#notes,
    };
  }

  /** For whoever looks into a red run: the ledger, and what the workers wrote. */
  async keepEvidence(): Promise<void> {
    const folder = join(root, '.run/faults');
    const path = join(folder, `${this.ground.series}-${this.scenario.name}`);
    await mkdir(folder, { recursive: true });
    await copyFile(this.ledger.path, `${path}.jsonl`);
    await writeFile(`${path}.log`, this.crew.lines.join('\n'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.load.stop();
    await this.crew.dispose();
    await this.client.close();
    await this.proxy.close();
    await this.operator.clearUp();
    this.ledger.remove();
  }
}
