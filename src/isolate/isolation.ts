/** The isolation of one worker process: its children of both kinds, and which run goes to which. */
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import type { Delivery } from '../broker/broker.ts';
import type { RuntimeSettings } from '../config.ts';
import type { ChildRun } from '../run/run.ts';
import type { ChildKind } from './child.ts';
import { type About, IsolatedRun, type IsolationResources } from './isolated-run.ts';
import { missingForChildren } from './needed.ts';
import { PATIENCE, type Patience } from './patience.ts';
import { Pool, type PoolOptions } from './pool.ts';
import { makeProcess } from './process-child.ts';
import type { Limits } from './protocol.ts';
import { Seats } from './seats.ts';
import { makeThread } from './thread-child.ts';
import { type Listeners, tell } from './told.ts';

export interface IsolationOptions {
  workers: string;
  config?: string | undefined;
  limits: Limits;
  patience?: Partial<Patience>;
}

/** What all runs share. */
type Shared = IsolationResources & Listeners;

export class Isolation {
  /** For suspects; the broker's connection shall not starve beside them. */
  readonly seats = new Seats(Math.max(2, availableParallelism()));
  readonly #it: Shared;
  readonly #patience: Patience;
  readonly #pools: Record<ChildKind, Pool>;
  readonly #killAll = () => this.#each((pool) => pool.killAll());

  constructor({ workers, config, limits, patience }: IsolationOptions, resources: Shared) {
    this.#it = resources;
    this.#patience = { ...PATIENCE, ...patience };
    const paths = { workers: resolve(workers), config: config && resolve(config) };
    const birth = { ...paths, parentPid: process.pid, limits: limitsOf(limits) };
    const onFailure: PoolOptions['onFailure'] = (failure) => resources.bus.emit('child.failed', failure);
    const onTold: PoolOptions['onTold'] = (message) => tell(resources, message);
    this.#pools = {
      process: new Pool({ kind: 'process', make: makeProcess, birth, onFailure, onTold }),
      thread: new Pool({ kind: 'thread', make: makeThread, birth, onFailure, onTold }),
    };
    process.once('exit', this.#killAll);
  }

  /** On probation it runs in a process, whatever its class says. */
  run(delivery: Delivery, about: About, { probation }: { probation: boolean }): ChildRun {
    const { isolation } = about.registration;
    const kind = probation || isolation === 'inline' ? 'process' : isolation;
    const where = { pool: this.#pools[kind], watchStall: isolation === 'inline', patience: this.#patience };
    return new IsolatedRun(delivery, about, where, this.#it);
  }

  close(): void {
    process.off('exit', this.#killAll);
    this.#each((pool) => pool.close());
  }

  #each(call: (pool: Pool) => void): void {
    call(this.#pools.process);
    call(this.#pools.thread);
  }
}

/** Nothing else: what a process is told at its start, others on the machine can read. */
function limitsOf({ namespace, maxPayload, deadlineMs, maxInFlight }: Limits): Limits {
  return { namespace, maxPayload, deadlineMs, maxInFlight };
}

/** Undefined where children could not run what this process runs; then suspects run inline. */
export function isolationFor(settings: RuntimeSettings, shared: Shared): Isolation | undefined {
  const { workers, middleware } = settings;
  if (workers === undefined || missingForChildren(settings)) return undefined;
  // Loading it may open connections: only where something is to be had from it.
  const config = middleware.length > 0 ? settings.config : undefined;
  return new Isolation({ workers, config, limits: settings }, shared);
}
