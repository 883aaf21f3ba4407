/** One process: declare, start, serve, take signals, drain, and say with which exit code it ends. */
import { setMaxListeners } from 'node:events';
import { hostname } from 'node:os';
import type { Registry as MetricsRegistry } from 'prom-client';
import type { Broker } from './broker/broker.ts';
import { createRabbitBroker } from './broker/rabbitmq.ts';
import { BrokerClient } from './client.ts';
import type { RuntimeSettings } from './config.ts';
import { EventBus, type EventName, type Listener } from './core/events.ts';
import type { Registry } from './core/registry.ts';
import type { Phase } from './health.ts';
import type { HealthSource } from './http/health.ts';
import { type Isolation, isolationFor } from './isolate/isolation.ts';
import { Levels } from './levels.ts';
import { jobLog } from './observe/job-log.ts';
import { createLogger } from './observe/logs.ts';
import { observe, type Shown } from './observe/observe.ts';
import { Rerouter } from './reroute.ts';
import type { JobIdentity } from './run/attempt.ts';
import { planGrace } from './run/grace.ts';
import { onStopSignals } from './run/signals.ts';
import { catchUnhandled } from './run/unhandled.ts';
import type { Runner } from './runner.ts';
import { Ground } from './runtime/ground.ts';
import { type CreateRuntimeOptions, planRuntime, type RuntimePlan } from './runtime/plan.ts';
import { makeRunners } from './runtime/runners.ts';
import { warn } from './runtime/warnings.ts';
import { ScheduleLeader } from './schedule/leader.ts';

export interface Runtime {
  /** Subscribes to what happens; returns the function that ends the subscription. Error trackers attach here. */
  on<E extends EventName>(event: E, listener: Listener<E>): () => void;
  /**
   * Declares, consumes, serves HTTP, takes SIGTERM and SIGINT. Resolves when it has stopped, with the exit code:
   * 0 drained, 3 jobs were released or acks left unsent at the end of the grace period.
   * @throws BrokerUnreachableError, TopologyMismatchError, ConfigurationError when it cannot start
   */
  run(): Promise<number>;
  /** Drains as SIGTERM does. Resolves as `run` does. */
  stop(): Promise<number>;
  /** What `/metrics` answers, for a process that serves HTTP itself (`http: false`). */
  metrics(): Promise<string>;
}

/** @throws ConfigurationError for options, environment or job classes that cannot be */
export function createRuntime(options: CreateRuntimeOptions): Runtime {
  return runtimeOf(planRuntime(options));
}

/** On this bus, which others may have subscribed to already. */
export function runtimeOf(plan: RuntimePlan, bus: EventBus = new EventBus()): Runtime {
  return new ProcessRuntime(plan, bus);
}

/** What a supervisor asks of its workers, and how it stops them. No part of the public API. */
export interface SupervisedRuntime extends Runtime {
  readonly health: HealthSource;
  readonly registry: MetricsRegistry;
  /** As `stop`, in at most this many ms; `why` stands in the log as its signal. */
  stopWithin(graceMs: number, why: string): Promise<number>;
}

/** @throws ConfigurationError as createRuntime */
export function createSupervisedRuntime(options: CreateRuntimeOptions): SupervisedRuntime {
  return new ProcessRuntime(planRuntime(options), new EventBus());
}

class ProcessRuntime implements SupervisedRuntime {
  readonly #settings: RuntimeSettings;
  readonly #registry: Registry;
  readonly #bus: EventBus;
  readonly #broker: Broker;
  readonly #ground: Ground;
  readonly #isolation: Isolation | undefined;
  readonly #runners: Runner[];
  readonly #leader: ScheduleLeader;
  readonly #rerouter: Rerouter;
  readonly #shown: Shown;
  #phase: Phase = 'starting';
  /** When everything must be closed, once a stop was asked for. */
  #closedBy: number | undefined;
  /** Aborted when the grace period is over. */
  readonly #giveUp = new AbortController();
  /** What `run` began, to be undone in reverse order when it ends. */
  readonly #undo: (() => unknown)[] = [];
  #stopping: Promise<number> | undefined;
  #running: Promise<number> | undefined;
  #stopAsked: () => void = () => {};
  #signal: string | undefined;
  #graceMs: number;
  #fatal = false;

  constructor(plan: RuntimePlan, bus: EventBus) {
    // Every copy under way listens: Node would warn of a leak at the eleventh.
    setMaxListeners(0, this.#giveUp.signal);
    const { options, settings, registry, names, schedules, topology, middleware } = plan;
    const { urls, maxInFlight, declare } = settings;
    const broker = options.broker ?? createRabbitBroker({ urls, maxInFlight });
    const ground = new Ground({ broker, bus, topology, declare });
    const repair = () => ground.repair();
    const levels = new Levels({
      broker,
      names,
      mayDeclare: declare === 'full',
      onDeclared: ground.tell,
    });
    const client = new BrokerClient(broker, settings, bus, levels);
    const logger = options.logger ?? createLogger(settings.logLevel);
    const logFor = (about: JobIdentity) => jobLog(logger, about);
    const isolation = isolationFor(settings, { broker, bus, levels, logFor });
    const runners = makeRunners({
      ...{ settings, broker, bus, names, registry, levels, client, isolation, middleware, repair, logFor },
      giveUp: this.#giveUp.signal,
    });
    const me = { host: hostname(), pid: process.pid };
    const leader = new ScheduleLeader({ broker, bus, names, schedules, now: Date.now, me, repair });
    const queues = [...settings.queues.keys()];
    this.#rerouter = new Rerouter({ broker, bus, names, random: Math.random, queues });
    this.#shown = observe({
      ...{ bus, broker, names, registry, settings, logger, schedules },
      phase: () => this.#phase,
      queues: () => runners.map(({ state }) => state),
      leading: () => leader.leading,
    });
    this.#settings = settings;
    this.#graceMs = settings.graceMs;
    this.#registry = registry;
    this.#bus = bus;
    this.#broker = broker;
    this.#ground = ground;
    this.#isolation = isolation;
    this.#runners = runners;
    this.#leader = leader;
  }

  on<E extends EventName>(event: E, listener: Listener<E>): () => void {
    return this.#bus.on(event, listener);
  }

  run(): Promise<number> {
    this.#running ??= this.#runOnce();
    return this.#running;
  }

  async #runOnce(): Promise<number> {
    const stopAsked = new Promise<void>((resolve) => {
      this.#stopAsked = resolve;
    });
    if (this.#stopping) this.#stopAsked();
    this.#undo.push(() => this.#ground.end());
    this.#takeSignals();
    this.#undo.push(catchUnhandled(this.#bus, () => this.#fail()));
    try {
      await Promise.race([this.#start(), stopAsked]);
      await stopAsked;
      return await this.stop();
    } finally {
      await this.#close();
    }
  }

  metrics(): Promise<string> {
    return this.#shown.metrics.text();
  }

  get health(): HealthSource {
    return this.#shown.health;
  }

  get registry(): MetricsRegistry {
    return this.#shown.metrics.registry;
  }

  stopWithin(graceMs: number, why: string): Promise<number> {
    if (!this.#stopping) {
      this.#signal = why;
      this.#graceMs = Math.min(graceMs, this.#settings.graceMs);
    }
    return this.stop();
  }

  stop(): Promise<number> {
    this.#stopping ??= this.#drain();
    this.#stopAsked();
    return this.#stopping;
  }

  // --- start ---

  #takeSignals(): void {
    if (!this.#settings.signals) return;
    this.#undo.push(
      onStopSignals((signal) => {
        this.#signal = signal;
        void this.stop();
      }),
    );
  }

  #fail(): void {
    this.#fatal = true;
    void this.stop();
  }

  async #start(): Promise<void> {
    const port = await this.#shown.http?.listen();
    await this.#broker.connect({ timeout: this.#settings.connectTimeoutMs });
    await this.#ground.declare();
    if (this.#stopping) return;
    warn(this.#bus, this.#registry, this.#settings);
    for (const runner of this.#runners) runner.start();
    this.#leader.start();
    this.#rerouter.start();
    this.#phase = 'running';
    this.#bus.emit('runtime.started', {
      queues: this.#runners.map(({ queue }) => queue),
      jobs: this.#registry.all.map(({ name }) => name),
      port,
    });
  }

  // --- stop ---

  async #drain(): Promise<number> {
    this.#phase = 'draining';
    this.#leader.stop();
    const began = performance.now();
    const plan = planGrace(began, this.#graceMs);
    const running = this.#runners.reduce((sum, { state }) => sum + state.running, 0);
    this.#bus.emit('drain.started', { signal: this.#signal, running, graceMs: this.#graceMs });
    const ending = setTimeout(() => this.#giveUp.abort(), plan.endAt - began);
    this.#closedBy = plan.closedBy;
    const rerouted = this.#rerouter.stop(plan.endAt - began);
    const drained = await Promise.all(this.#runners.map((runner) => runner.drain(plan)));
    const unsure = (await rerouted) ? 0 : 1;
    clearTimeout(ending);
    this.#giveUp.abort();
    const released = drained.reduce((sum, one) => sum + one.released, 0);
    const unsent = drained.filter(({ sent }) => !sent).length + unsure;
    this.#bus.emit('drain.finished', { released, unsent, durationMs: performance.now() - began });
    if (this.#fatal) return 1;
    return released + unsent > 0 ? 3 : 0;
  }

  async #close(): Promise<void> {
    this.#giveUp.abort();
    this.#isolation?.close();
    const left = this.#closedBy === undefined ? CLOSE_MS : this.#closedBy - performance.now();
    await this.#broker.close(Math.max(0, left));
    this.#phase = 'stopped';
    await this.#shown.http?.close();
    for (const undo of this.#undo.reverse()) await undo();
    this.#shown.end();
  }
}

const CLOSE_MS = 1_000;
