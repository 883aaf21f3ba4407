/** Workers as processes: started, started again when they die, stopped together. */
import type { ChildProcess } from 'node:child_process';
import type { EventBus } from '../core/events.ts';
import { afterDeath, codeOf, isHopeless, NEW, type Record, waitBefore, worstOf } from './restarts.ts';
import { type Death, pingEveryMs, WorkerProcess } from './worker-process.ts';

export interface SupervisorOptions {
  processes: number;
  /** Starts a process as worker `nr`, with an IPC channel. */
  fork(nr: number): ChildProcess;
  bus: EventBus;
  graceMs: number;
  /** 0: a stuck process is left alone. */
  stallMs: number;
  random?: (() => number) | undefined;
}

/** One worker over all its processes. */
export interface WorkerSlot {
  /** From 1. */
  readonly nr: number;
  /** Undefined between a death and the next start. */
  process: WorkerProcess | undefined;
  record: Record;
  lastDeath: Death | undefined;
  /** When it will be started again; a moment of performance.now(). */
  restartAt: number;
  timer: NodeJS.Timeout | undefined;
}

/** Workers get a little less than the whole grace period, so that who overruns it can be killed within it. */
export function graceOfWorkers(graceMs: number): number {
  return graceMs - Math.min(500, graceMs * 0.05);
}

/** Even without any grace a process needs a moment for its way out. */
const LEAST_MS = 500;

function killAfter(graceMs: number): number {
  return Math.max(LEAST_MS, graceMs - Math.min(100, graceMs * 0.01));
}

export class Supervisor {
  readonly workers: readonly WorkerSlot[];
  #stopping = false;
  readonly #options: SupervisorOptions;
  readonly #bus: EventBus;
  /** Of the processes that ended while all were to stop. */
  readonly #codes: number[] = [];
  #everBegun = false;
  /** The grace period is over. */
  #late = false;
  #stopAsked: () => void = () => {};
  readonly #asked = new Promise<void>((resolve) => {
    this.#stopAsked = resolve;
  });

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#bus = options.bus;
    this.workers = Array.from({ length: options.processes }, (_, index) => ({
      nr: index + 1,
      process: undefined,
      record: NEW,
      lastDeath: undefined,
      restartAt: 0,
      timer: undefined,
    }));
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** Resolves when the last worker has ended, with the worst exit code. */
  async run(): Promise<number> {
    for (const worker of this.workers) this.#start(worker);
    const { stallMs } = this.#options;
    const pinging = stallMs > 0 ? setInterval(() => this.#pingAll(), pingEveryMs(stallMs)) : undefined;
    await this.#asked;
    await Promise.all(this.#alive().map(({ process }) => process.ended));
    clearInterval(pinging);
    return worstOf(this.#codes);
  }

  /** Tells all workers to drain; whoever is there at the end of the grace period is killed. */
  stop(signal?: string): void {
    if (this.#stopping) return;
    this.#stopping = true;
    const { graceMs } = this.#options;
    const alive = this.#alive();
    this.#bus.emit('supervisor.stopping', { signal, processes: alive.length, graceMs });
    for (const { timer } of this.workers) clearTimeout(timer);
    for (const { process } of alive) process.stop(signal ?? 'stop', graceOfWorkers(graceMs));
    setTimeout(() => this.#killLate(), killAfter(graceMs)).unref();
    this.#stopAsked();
  }

  /** Ends all workers now: nobody drains. */
  kill(): void {
    for (const { process } of this.#alive()) process.kill();
  }

  #alive(): (WorkerSlot & { process: WorkerProcess })[] {
    return this.workers.filter(
      (worker): worker is WorkerSlot & { process: WorkerProcess } => worker.process !== undefined,
    );
  }

  #start(worker: WorkerSlot): void {
    if (this.#stopping) return;
    const child = this.#fork(worker);
    if (!child) return;
    const process = new WorkerProcess(child, () => {
      this.#everBegun = true;
      worker.record = { ...worker.record, stillborn: 0 };
    });
    worker.process = process;
    this.#bus.emit('process.started', {
      worker: worker.nr,
      pid: process.pid,
      restarts: worker.record.restarts,
    });
    void process.ended.then((death) => this.#ended(worker, process.pid, death));
  }

  /** A system without memory left may refuse with a throw: a death like any other. */
  #fork(worker: WorkerSlot): ChildProcess | undefined {
    try {
      return this.#options.fork(worker.nr);
    } catch (error) {
      const lastWords = [error instanceof Error ? error.message : String(error)];
      const death = { code: null, signal: null, uptimeMs: 0, begun: false, lastWords };
      worker.lastDeath = death;
      this.#died(worker, 0, death);
      return undefined;
    }
  }

  #ended(worker: WorkerSlot, pid: number, death: Death): void {
    worker.process = undefined;
    worker.lastDeath = death;
    if (this.#stopping) this.#codes.push(this.#codeWhileStopping(death));
    else this.#died(worker, pid, death);
  }

  #died(worker: WorkerSlot, pid: number, death: Death): void {
    worker.record = afterDeath(worker.record, death);
    const { code, signal, uptimeMs, lastWords } = death;
    const { restarts } = worker.record;
    this.#bus.emit('process.died', { worker: worker.nr, pid, code, signal, uptimeMs, restarts, lastWords });
    const records = this.workers.map(({ record }) => record);
    if (isHopeless(death, records, this.#everBegun)) this.#giveUp(worker, death);
    else this.#startLater(worker);
  }

  #startLater(worker: WorkerSlot): void {
    const waitMs = waitBefore(worker.record, this.#options.random ?? Math.random);
    worker.restartAt = performance.now() + waitMs;
    worker.timer = setTimeout(() => this.#start(worker), waitMs);
  }

  #giveUp(worker: WorkerSlot, death: Death): void {
    // Whoever never works must not say that all is well.
    const code = codeOf(death) || 1;
    this.#bus.emit('supervisor.gave-up', { code, worker: worker.nr });
    this.#codes.push(code);
    this.stop();
  }

  #pingAll(): void {
    const { stallMs } = this.#options;
    for (const { nr, process } of this.#alive()) {
      if (!process.ping(pingEveryMs(stallMs))) continue;
      this.#bus.emit('process.stalled', { worker: nr, pid: process.pid, silentMs: stallMs });
      process.kill();
    }
  }

  #killLate(): void {
    const { graceMs } = this.#options;
    this.#late = true;
    for (const { nr, process } of this.#alive()) {
      this.#bus.emit('process.overran', { worker: nr, pid: process.pid, graceMs });
      process.kill();
    }
  }

  #codeWhileStopping(death: Death): number {
    const { begun, signal } = death;
    // A signal to the whole group may end a process that has not come to listening yet: nothing ran in it.
    if (!begun && (signal === 'SIGTERM' || signal === 'SIGINT')) return 0;
    // What it held goes back to its queues, as at the end of any grace period that was too short.
    return this.#late && signal === 'SIGKILL' ? JOBS_RELEASED : codeOf(death);
  }
}

const JOBS_RELEASED = 3;
