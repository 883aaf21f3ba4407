/** A process of a history: one that enqueues, or a worker. Wired as src/runtime.ts and src/client.ts wire theirs. */
import { setMaxListeners } from 'node:events';
import { BrokerClient } from '../../src/client.ts';
import { EventBus } from '../../src/core/events.ts';
import type { Registry } from '../../src/core/registry.ts';
import { schedulesOf } from '../../src/core/schedule.ts';
import type { JobLog } from '../../src/job.ts';
import { Levels } from '../../src/levels.ts';
import { planGrace } from '../../src/run/grace.ts';
import { Settler } from '../../src/run/settle.ts';
import { Runner } from '../../src/runner.ts';
import { ScheduleLeader } from '../../src/schedule/leader.ts';
import { rungsOf } from '../../topology/delays.ts';
import type { Names } from '../../topology/names.ts';
import { SimulatedBroker } from './broker.ts';
import { Children } from './children.ts';
import type { WorkerPlan } from './history.ts';
import type { Owner } from './scheduler.ts';
import type { Server } from './server.ts';

export interface Grounds {
  server: Server;
  names: Names;
  registry: Registry;
  timedOut(id: string, attempt: number): void;
  /** A drain has taken it back: how its code ends is not looked at. */
  released(id: string, owner: Owner): void;
}

/** How far the clock of a worker may be ahead of the others. */
export const MOST_AHEAD_MS = 5000;

const QUIET: JobLog = { debug() {}, info() {}, warn() {}, error() {} };

export class Process implements Owner {
  readonly name: string;
  alive = true;
  readonly broker: SimulatedBroker;
  readonly client: BrokerClient;
  protected readonly levels: Levels;
  protected readonly bus = new EventBus();
  protected readonly grounds: Grounds;

  constructor(name: string, grounds: Grounds) {
    this.name = name;
    this.grounds = grounds;
    const maxInFlight = grounds.server.random.chance(0.5) ? 2 : 1000;
    this.broker = new SimulatedBroker(this, grounds.server, maxInFlight);
    const limits = { namespace: '', maxPayload: 1_000_000, deadlineMs: 30_000, maxInFlight };
    this.levels = new Levels({ broker: this.broker, names: grounds.names, mayDeclare: false });
    this.client = new BrokerClient(this.broker, limits, this.bus, this.levels);
  }

  start(): void {
    void this.broker.connect({ roles: ['publishing'] });
  }

  /** SIGKILL: no later step of it has an effect. What it wrote to its sockets, or a part of that, still arrives. */
  crash(toServer: number): void {
    const { scheduler } = this.grounds.server;
    this.alive = false;
    scheduler.forget(this);
    for (const connection of [this.broker.publishing, this.broker.consuming])
      connection.link?.cut({ toServer, toClient: 0 }, { server: 1, client: 0 });
  }
}

export class Worker extends Process {
  readonly plan: WorkerPlan;
  readonly #runner: Runner;
  readonly #leader: ScheduleLeader;
  readonly #giveUp = new AbortController();
  #draining = false;
  #detached = 0;

  constructor(name: string, grounds: Grounds, plan: WorkerPlan) {
    super(name, grounds);
    const { registry, names, server } = grounds;
    const { broker, bus, client, levels } = this;
    this.plan = plan;
    setMaxListeners(0, this.#giveUp.signal);
    const shared = { broker, bus, now: () => Date.now(), repair: () => this.#repair() };
    const rungs = rungsOf(registry.delays);
    const giveUp = this.#giveUp.signal;
    const settler = new Settler('work', { ...shared, names, rungs, levels, giveUp });
    const resources = {
      enqueueFor: () => client.enqueueAlong({}),
      logFor: () => QUIET,
      progressOf: () => {},
    };
    const isolation = new Children({ registry, random: server.random, resources });
    this.#runner = new Runner(
      { queue: 'work', fullName: names.queue('work'), ...plan },
      { ...shared, ...resources, registry, settler, isolation },
    );
    const schedules = schedulesOf(registry.all);
    const ahead = schedules.length > 0 && server.random.chance(0.3) ? MOST_AHEAD_MS : 0;
    const me = { host: name, pid: 1 };
    this.#leader = new ScheduleLeader({ ...shared, names, schedules, me, now: () => Date.now() + ahead });
    // A job that was told to stop before is not told of its timeout.
    bus.on('attempt.timed-out', ({ id, attempt }) => grounds.timedOut(id, attempt));
    bus.on('attempt.released', ({ id }) => grounds.released(id, this));
    bus.on('consumer.detached', () => void this.#detached++);
    bus.onAny((event, data) => {
      const { id = '' } = data as { id?: string };
      server.watcher.trace(() => `${name}: ${event} ${id}`);
    });
  }

  get isAttached(): boolean {
    return this.#runner.state.attached;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Its consumer was not lost before it was left. It tells of the wait for the first connection, too. */
  get wasNeverDetached(): boolean {
    return this.#detached <= 1;
  }

  override start(): void {
    void this.broker.connect();
    this.#runner.start();
    this.#leader.start();
  }

  /** SIGTERM, as src/runtime.ts does it. Resolves when the process would exit: true when all acks were sent. */
  async drain(graceMs: number): Promise<boolean> {
    this.#draining = true;
    this.#leader.stop();
    const began = performance.now();
    const plan = planGrace(began, graceMs);
    const ending = setTimeout(() => this.#giveUp.abort(), plan.endAt - began);
    const { sent } = await this.#runner.drain(plan);
    clearTimeout(ending);
    this.#giveUp.abort();
    await this.broker.close(Math.max(0, plan.closedBy - performance.now()));
    return sent;
  }

  exit(): void {
    this.crash(1);
  }

  /** Declares by itself where the real one goes through an admin channel. */
  async #repair(): Promise<void> {
    const { server } = this.grounds;
    await new Promise((resolve) => setTimeout(resolve, server.random.between(1, 20)));
    if (!server.isUp || !this.broker.consuming.isUp || server.random.chance(0.2))
      throw new Error('could not declare');
    server.declare();
  }
}
