/** One history from its first event to the moment when nothing is left to happen. */

import type { MessageProperties } from '../../src/broker/broker.ts';
import { PublishError } from '../../src/core/errors.ts';
import { HEADER, readHeaders } from '../../src/core/headers.ts';
import { Registry } from '../../src/core/registry.ts';
import type { JobContext } from '../../src/job.ts';
import type { Attempt } from '../../src/run/attempt.ts';
import { type Names, namesFor } from '../../topology/names.ts';
import { planLevels, planTopology, type Topology } from '../../topology/plan.ts';
import { childOf } from './children.ts';
import { strike } from './faults.ts';
import type { History, JobPlan, Step } from './history.ts';
import {
  ATTEMPTS,
  IsolatedJob,
  LAST_TICK_MS,
  performIn,
  SimulatedJob,
  type Surroundings,
  TICK_EVERY_MS,
  TickJob,
  WAITS,
} from './job.ts';
import { Ledger, type Run, type Violation } from './ledger.ts';
import { type Grounds, MOST_AHEAD_MS, Process, Worker } from './process.ts';
import { Random } from './random.ts';
import { type Owner, Scheduler } from './scheduler.ts';
import { Server, type Watcher } from './server.ts';
import { COPY, copyName } from './server-channel.ts';

export interface Result {
  violations: readonly Violation[];
  /** Events; ms of simulated time; runs of `perform`. */
  steps: number;
  ms: number;
  runs: number;
  trace: readonly string[];
}

const UUID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;
const TICK: JobPlan = {
  ...{ after: 0, deadline: 0, in: 0, foreign: false, poison: false, isolated: false },
  steps: [{ does: 'return', ms: 0, obeys: true }],
};
/** What a job class allows that does not say it. */
const MOST_CRASHES = 3;
/** A history that goes on longer than this does not end. */
const MOST_STEPS = 8000;
/** Timers of the publisher's deadlines are this coarse, and then some. */
const DEADLINE_SLACK_MS = 25;
const GRACE_SLACK_MS = 120;
/** Two ways over a slow network, and then some. */
const AT_ONCE_MS = 300;

/** Runs a history. Nothing else may run in this realm meanwhile: the clocks are replaced. */
export async function simulate(history: History, { traced = false } = {}): Promise<Result> {
  const world = new World(history, traced);
  const restore = world.scheduler.install();
  const { stackTraceLimit } = Error;
  // Making stacks that nobody reads would be a good part of the time.
  if (!traced) Error.stackTraceLimit = 0;
  try {
    await world.run();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
    restore();
  }
  return {
    violations: world.ledger.violations,
    steps: world.scheduler.steps,
    ms: Math.round(world.scheduler.now),
    runs: world.ledger.runs,
    trace: world.lines,
  };
}

export class World implements Surroundings, Watcher {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly ledger = new Ledger();
  readonly server: Server;
  readonly lines: string[] = [];
  /** Ids that chance made. */
  readonly #seen: string[] = [];
  readonly #history: History;
  readonly #traced: boolean;
  readonly #grounds: Grounds;
  readonly #topology: Topology;
  /** The first enqueues, the others work. */
  readonly #processes: Process[];
  /** Those that were let go: their moments, by id. */
  readonly #ticks = new Map<string, number>();
  #born = 0;

  constructor(history: History, traced: boolean) {
    this.#history = history;
    this.#traced = traced;
    this.scheduler = new Scheduler((owner, error) =>
      this.ledger.break('uncaught', `in ${owner?.name ?? 'the world'}: ${(error as Error).stack}`),
    );
    this.random = new Random(history.seed);
    const names = namesFor();
    const registry = new Registry([SimulatedJob, IsolatedJob, ...(history.cron ? [TickJob] : [])]);
    this.#topology = topologyOf(names, registry);
    this.server = new Server(this.scheduler, this.random, this, this.#topology);
    this.#grounds = {
      ...{ server: this.server, names, registry },
      timedOut: (id, attempt) => this.ledger.failedAt(id, attempt, this.scheduler.wall),
      released: (id, owner) => this.ledger.released(id, owner),
    };
    this.#processes = [this.#client(), ...history.workers.map((plan) => this.#worker(plan))];
    performIn(this);
  }

  async run(): Promise<void> {
    let due = 0;
    for (const { after, ...plan } of this.#history.jobs) {
      due += after;
      this.later(due, () => this.#enqueue({ after, ...plan }));
    }
    for (const process of this.#processes) this.#start(process);
    // What is made up for included.
    if (this.#history.cron) this.later(2 * LAST_TICK_MS, () => {});
    await this.#suffer();
    this.trace(() => 'world: no more faults');
    await this.#untilRest();
    if (this.ledger.violations.length === 0) this.#checkRest();
    await this.#leave();
  }

  // --- the course of it ---

  /** Each fault so many events after the one before, or when nothing else happens any more. */
  async #suffer(): Promise<void> {
    for (const fault of this.#history.faults) {
      const at = this.scheduler.steps + fault.after;
      while (this.scheduler.steps < at && !this.scheduler.atRest && !this.#broken)
        await this.scheduler.step();
      this.trace(() => `world: ${fault.what} ${JSON.stringify(fault)}`);
      strike(this, fault);
    }
  }

  async #untilRest(): Promise<void> {
    while (!this.scheduler.atRest && !this.#broken) {
      await this.scheduler.step();
      if (this.scheduler.steps > MOST_STEPS) this.ledger.break('no-rest', `after ${MOST_STEPS} events`);
    }
  }

  async #leave(): Promise<void> {
    for (const process of this.#processes) if (process instanceof Worker) this.drain(process, 2000, false);
    await this.#untilRest();
    if (this.#broken) return;
    for (const { queue, state, letter } of this.server.everything())
      if (state !== 'ready' || queue === 'work')
        this.ledger.break('left-behind', `${letter.properties.messageId} is ${state} in ${queue}`);
    this.#checkConsumers(0);
  }

  get #broken(): boolean {
    return this.ledger.violations.length > 0;
  }

  /** When everybody is well and nothing is left to do. */
  #checkRest(): void {
    for (const id of this.ledger.unanswered) this.ledger.break('never-settled', `enqueue of ${id}`);
    for (const process of this.#processes)
      if (process instanceof Worker && !process.isAttached)
        this.ledger.break('not-consuming', `${process.name} at rest`);
    this.#checkConsumers(this.#processes.length - 1);
    const ends = new Map<string, MessageProperties>();
    for (const { queue, letter, state } of this.server.everything()) {
      if (queue === 'work.dead') ends.set(letter.properties.messageId ?? '', letter.properties);
      else if (!this.#ofSchedules(queue))
        this.ledger.break('not-finished', `${letter.properties.messageId} is ${state} in ${queue}`);
    }
    this.#checkTicks();
    for (const id of this.ledger.accepted) this.#checkEnd(id, ends.get(id));
  }

  #ofSchedules(queue: string): boolean {
    const { names } = this.#grounds;
    return queue === names.schedules || queue === names.scheduleState;
  }

  /** From the first on: nobody had promised one before somebody led. */
  #checkTicks(): void {
    const first = Math.min(...this.#ticks.values());
    for (let tick = first; tick <= this.scheduler.epoch + LAST_TICK_MS; tick += TICK_EVERY_MS)
      if (![...this.#ticks.values()].includes(tick))
        this.ledger.break('tick-left-out', new Date(tick).toISOString());
    if (this.#history.cron && this.#ticks.size === 0) this.ledger.break('tick-left-out', 'all of them');
  }

  #checkConsumers(wanted: number): void {
    const { consumers } = this.server.store.queue('work').counts;
    if (consumers !== wanted)
      this.ledger.break('not-consuming', `the server has ${consumers} consumers, not ${wanted}`);
  }

  #checkEnd(id: string, dead: MessageProperties | undefined): void {
    const entry = this.ledger.get(id);
    if (!dead) {
      if (!entry.done) this.ledger.break('lost', `${id} is neither done nor anywhere`);
      return;
    }
    const { reason, attempt, crashes } = readHeaders(dead, Date.now());
    const ok =
      (reason === 'crashed' && crashes === MOST_CRASHES && entry.plan.poison && entry.deaths >= crashes) ||
      (reason === 'undecodable' && entry.plan.foreign) ||
      (reason === 'dead-by-job' && entry.plan.steps.some(({ does }) => does === 'dead')) ||
      (reason === 'attempts-exhausted' && attempt === ATTEMPTS && entry.failures.has(ATTEMPTS));
    if (!ok) this.ledger.break('wrong-evidence', `${id} is dead as '${reason}' after attempt ${attempt}`);
  }

  // --- processes ---

  processAt(index: number): Process {
    return this.#processes[index % this.#processes.length] as Process;
  }

  workerAt(index: number): Worker {
    const workers = this.#processes.filter((process): process is Worker => process instanceof Worker);
    return workers[index % workers.length] as Worker;
  }

  later(ms: number, call: () => void): void {
    this.scheduler.after(undefined, ms, call);
  }

  /** Another takes the place of one that is gone. */
  replace(gone: Process): void {
    const at = this.#processes.indexOf(gone);
    if (at < 0) return;
    const next = gone instanceof Worker ? this.#worker(gone.plan) : this.#client();
    this.#processes[at] = next;
    this.#start(next);
  }

  drain(worker: Worker, graceMs: number, replaced = true): void {
    this.scheduler.after(worker, 0, () => {
      const began = this.scheduler.now;
      this.scheduler.after(worker, AT_ONCE_MS, () => this.#checkReturned(worker, began));
      void worker.drain(graceMs).then((sent) => {
        this.#checkDrained(worker, { graceMs, sent, took: this.scheduler.now - began });
        worker.exit();
        if (replaced) this.later(0, () => this.replace(worker));
      });
    });
  }

  /** What a worker that stops has not begun is back in its queue, where the network lets it. */
  #checkReturned(worker: Worker, began: number): void {
    const { link } = worker.broker.consuming;
    if (!link || link.wire.toServer.isStalled || link.wire.toClient.isStalled) return;
    for (const channel of link.channels)
      for (const { copy, properties } of channel.heldSince(began)) {
        // What a leader holds goes back with its channel.
        if (this.#ofSchedules(copy.slice(0, copy.indexOf('#')))) continue;
        const { messageId = '', headers } = properties;
        const attempt = Number(headers['warren-attempt'] ?? 1);
        if (this.ledger.hasBegun(worker, messageId, attempt) || this.ledger.get(messageId).plan.foreign)
          continue;
        this.ledger.break('kept-while-draining', `${messageId} (${copy}) by ${worker.name}`);
      }
  }

  #checkDrained(worker: Worker, { graceMs, sent, took }: { graceMs: number; sent: boolean; took: number }) {
    this.trace(() => `${worker.name}: exits`);
    if (took > graceMs + GRACE_SLACK_MS)
      this.ledger.break('past-grace', `${worker.name} took ${took} ms of ${graceMs}`);
    if (!sent || !worker.wasNeverDetached) return;
    const queue = this.server.store.queue('work');
    const { ready, unacked } = queue.contents;
    for (const message of [...ready, ...unacked])
      if (this.ledger.doneIn(worker).has(copyName(queue, message)))
        this.ledger.break('unsent-but-said-sent', `${copyName(queue, message)} by ${worker.name}`);
  }

  #client(): Process {
    return new Process(`client-${++this.#born}`, this.#grounds);
  }

  #worker(plan: History['workers'][number]): Worker {
    return new Worker(`worker-${++this.#born}`, this.#grounds, plan);
  }

  #start(process: Process): void {
    this.scheduler.after(process, 0, () => process.start());
  }

  // --- enqueueing ---

  #enqueue(plan: JobPlan): void {
    const id = `job-${++this.#born}`;
    this.ledger.add(id, plan).notBefore = this.scheduler.wall + plan.in;
    if (plan.foreign) {
      this.#sendForeign(id);
      return;
    }
    const client = this.#processes[0] as Process;
    this.ledger.asked(id, client);
    this.scheduler.after(client, 0, () => void this.#ask(client, id, plan));
  }

  async #ask({ client }: Process, id: string, plan: JobPlan): Promise<void> {
    const began = this.scheduler.now;
    const { deadline } = plan;
    try {
      const wait = plan.in === 0 ? {} : { in: plan.in };
      await client.enqueue(plan.isolated ? IsolatedJob : SimulatedJob, { id }, { id, deadline, ...wait });
      this.accepted(id);
    } catch (error) {
      this.trace(() => `world: enqueue of ${id} rejects: ${(error as Error).name}`);
      if (!(error instanceof PublishError)) this.ledger.break('untyped-rejection', `${id}: ${error}`);
    }
    this.ledger.answered(id);
    const took = this.scheduler.now - began;
    if (took > deadline + DEADLINE_SLACK_MS)
      this.ledger.break('past-deadline', `enqueue of ${id} took ${took} ms of ${deadline}`);
  }

  /** A program without warren, whose confirm came. */
  #sendForeign(id: string): void {
    const { names } = this.#grounds;
    const properties = { messageId: id, type: 'SimulatedJob', headers: {} };
    const body = Buffer.from('{ not json');
    const answer = this.server.store.publish({
      exchange: names.jobs,
      routingKey: names.queue('work'),
      body,
      properties,
    });
    this.ledger.get(id).accepted = answer === 'routed';
  }

  /** Deletes delay queues, and now and then their exchanges, that hold nothing: what an operator may do. */
  deleteIfEmpty(count: number): void {
    const { store } = this.server;
    for (const { name } of this.#topology.queues.filter(({ name }) => name.startsWith('delayed-'))) {
      const queue = store.find(name);
      if (!queue) continue;
      const { ready, unacked, deadLettering } = queue.contents;
      if (ready.length + unacked.length + deadLettering.length > 0) continue;
      store.deleteQueue(name);
      if (count > 2) store.deleteExchange(name);
    }
  }

  // --- what the job does to it ---

  begin(id: string, context: JobContext): { run: Run; step: Step; plan: JobPlan } {
    const owner = this.scheduler.current as Owner;
    const { delivery, attempt, headers } = context as Attempt;
    const copy = String(delivery.properties.headers[COPY]);
    const run: Run = { id, copy, attempt, owner, over: false };
    const { plan, snoozed } = this.ledger.get(id);
    const dueAt = Number(delivery.properties.headers[HEADER.dueAt] ?? 0);
    const ahead = this.#ticks.has(id) ? MOST_AHEAD_MS : 0;
    if (dueAt > this.scheduler.wall + ahead) this.ledger.break('too-early', `${id}: due at ${dueAt}`);
    this.trace(() => `${owner.name}: runs ${id} (${copy}), attempt ${attempt}`);
    this.ledger.started(run, this.scheduler.wall, { attempts: ATTEMPTS, waits: WAITS });
    if (owner instanceof Worker && this.ledger.runningIn(owner) > owner.plan.concurrency)
      this.ledger.break('concurrency', `${owner.name} runs more than ${owner.plan.concurrency}`);
    const { deaths } = this.ledger.get(id);
    if (headers.crashes > deaths)
      this.ledger.break('crash-mark-without-crash', `${id} has ${headers.crashes} for ${deaths} deaths`);
    const step = plan.steps[Math.min(attempt, plan.steps.length) - 1] as Step;
    if (plan.poison) return { run, step: { ...step, does: 'kill' }, plan };
    const again = step.does === 'snooze' && snoozed;
    return { run, step: again ? { ...step, does: 'return' } : step, plan };
  }

  done(run: Run): void {
    this.ledger.done(run);
    this.trace(() => `${run.owner.name}: done with ${run.id}`);
  }

  failed(run: Run): void {
    this.ledger.failed(run, this.scheduler.wall);
  }

  snoozed(run: Run): void {
    this.ledger.over(run);
    this.ledger.get(run.id).snoozed = true;
  }

  over(run: Run): void {
    this.ledger.over(run);
  }

  enqueued(child: string, parent: JobPlan): void {
    const step: Step = { does: 'return', ms: 0, obeys: true };
    this.ledger.add(child, { ...parent, in: 0, steps: [step], poison: false });
  }

  kill(run: Run, context: JobContext, ms: number): void {
    const attempt = context as Attempt;
    this.scheduler.after(run.owner, ms, () => {
      if (run.over || attempt.ended) return;
      const child = childOf(attempt);
      this.trace(() => `${run.owner.name}: ${run.id} takes down ${child ? 'its child' : 'its worker'}`);
      if (!child) this.#killWorker(run);
      else if (!child.ended) {
        this.ledger.died(run);
        child.die();
      }
    });
  }

  #killWorker(run: Run): void {
    const worker = run.owner as Worker;
    this.ledger.killed(run);
    worker.crash(this.random.chance(0.5) ? 1 : 0.5);
    this.later(this.random.between(0, 500), () => this.replace(worker));
  }

  accepted(id: string): void {
    this.trace(() => `world: ${id} is accepted`);
    this.ledger.get(id).accepted = true;
    if (!this.server.holds(id) && !this.ledger.isDone(id)) this.ledger.break('accepted-not-kept', id);
  }

  // --- what the server tells ---

  strayed(what: string): void {
    this.ledger.break('strayed-settlement', what);
  }

  removed({ messageId = '', headers }: MessageProperties, how: string, queue: string): void {
    if (queue === this.#grounds.names.schedules) {
      if (how === 'reject') this.#letGo(messageId, Number(headers[HEADER.tick]));
      return;
    }
    if (this.ledger.isDone(messageId) || this.server.holds(messageId)) return;
    this.ledger.break('lost', `${messageId} after its ${how}: not done, and nowhere else`);
  }

  #letGo(id: string, tick: number): void {
    this.trace(() => `server: ${id} is let go`);
    if (this.#ticks.has(id)) this.ledger.break('tick-twice', id);
    if (this.scheduler.wall < tick - MOST_AHEAD_MS) this.ledger.break('too-early', id);
    this.#ticks.set(id, tick);
    this.ledger.add(id, TICK).accepted = true;
  }

  /** The same in each telling of a history. */
  readonly #short = (id: string): string => {
    if (!this.#seen.includes(id)) this.#seen.push(id);
    return `message-${this.#seen.indexOf(id)}`;
  };

  trace(what: () => string): void {
    if (this.#traced)
      this.lines.push(`${this.scheduler.now.toFixed(1)} ${what().replace(UUID, this.#short)}`);
  }
}

/** Of the levels those that the waits of a history need. */
function topologyOf(names: Names, registry: Registry): Topology {
  const schedules = registry.get('TickJob') !== undefined;
  const jobs = planTopology({ names, queues: [{ name: 'work' }], delays: registry.delays, schedules });
  const levels = planLevels(names);
  const needed = [...[0, 1, 2, 3].map((level) => names.level(level)), names.later];
  const isNeeded = ({ name }: { name: string }) => needed.includes(name);
  return {
    exchanges: [...jobs.exchanges, ...levels.exchanges.filter(isNeeded)],
    queues: [...jobs.queues, ...levels.queues.filter(isNeeded)],
    bindings: [...jobs.bindings, ...levels.bindings.filter(({ queue }) => needed.includes(queue))],
    links: (levels.links ?? []).filter(({ from }) => needed.includes(from)),
  };
}
