/** The runners of one process, one a queue, and what each of them needs. */
import { rungsOf } from '../../topology/delays.ts';
import type { Names } from '../../topology/names.ts';
import type { Broker } from '../broker/broker.ts';
import type { BrokerClient } from '../client.ts';
import type { QueueSettings, RuntimeSettings } from '../config.ts';
import { traceOf } from '../core/envelope.ts';
import type { EventBus } from '../core/events.ts';
import type { Middleware } from '../core/middleware.ts';
import type { Registry } from '../core/registry.ts';
import type { Isolation } from '../isolate/isolation.ts';
import type { JobLog } from '../job.ts';
import type { Levels } from '../levels.ts';
import type { JobIdentity } from '../run/attempt.ts';
import { Settler } from '../run/settle.ts';
import { Runner, type RunnerOptions, type RunnerResources } from '../runner.ts';

export interface RunnersResources {
  settings: RuntimeSettings;
  broker: Broker;
  bus: EventBus;
  names: Names;
  registry: Registry;
  levels: Levels;
  client: BrokerClient;
  isolation: Isolation | undefined;
  middleware: Middleware | undefined;
  /** Declares what is missing, where this process may. */
  repair(): Promise<void>;
  logFor(about: JobIdentity): JobLog;
  /** Aborted when the grace period is over. */
  giveUp: AbortSignal;
}

export function makeRunners(it: RunnersResources): Runner[] {
  return [...it.settings.queues].map(
    ([queue, settings]) => new Runner(optionsOf(it, queue, settings), resourcesOf(it, queue)),
  );
}

function optionsOf(it: RunnersResources, queue: string, settings: QueueSettings): RunnerOptions {
  const { concurrency, prefetch, type } = settings;
  const { ackTimeoutMs } = it.settings;
  // A classic queue refuses a consumer that asks.
  const ackTimeoutAsked = type === 'quorum';
  return { queue, fullName: it.names.queue(queue), concurrency, prefetch, ackTimeoutMs, ackTimeoutAsked };
}

function resourcesOf(it: RunnersResources, queue: string): RunnerResources {
  const { broker, bus, registry, isolation, middleware, repair, logFor } = it;
  return {
    broker,
    bus,
    registry,
    isolation,
    middleware,
    settler: settlerOf(it, queue),
    now: Date.now,
    repair,
    enqueueFor: ({ delivery }) => it.client.enqueueAlong(traceOf(delivery.properties.headers)),
    logFor,
    progressOf: ({ id, job, queue, attempt }, value) =>
      bus.emit('job.progress', { id, job, queue, attempt, value }),
    overran: new Set(),
  };
}

function settlerOf(
  { broker, bus, names, registry, levels, repair, giveUp }: RunnersResources,
  queue: string,
) {
  return new Settler(queue, {
    broker,
    bus,
    names,
    rungs: rungsOf(registry.delays),
    levels,
    now: Date.now,
    repair,
    giveUp,
  });
}
