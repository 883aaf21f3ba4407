/** What a runtime is, checked before anything of it is made: whatever is wrong shows here. */
import { type Names, namesFor } from '../../topology/names.ts';
import type { Topology } from '../../topology/plan.ts';
import type { Broker } from '../broker/broker.ts';
import { parseServer } from '../broker/server.ts';
import { wantedTopology } from '../config/wanted-topology.ts';
import { type RuntimeSettings, resolveRuntimeSettings } from '../config.ts';
import { checkProvided, composed, type Middleware } from '../core/middleware.ts';
import { Registry } from '../core/registry.ts';
import { type Schedule, schedulesOf } from '../core/schedule.ts';
import { checkChildren } from '../isolate/needed.ts';
import type { RuntimeOptions } from '../options.ts';

/** A broker object may be given instead of a URL: the memory broker, in tests. */
export type CreateRuntimeOptions = RuntimeOptions & { broker?: Broker | undefined };

export interface RuntimePlan {
  readonly options: CreateRuntimeOptions;
  readonly settings: RuntimeSettings;
  readonly registry: Registry;
  readonly middleware: Middleware | undefined;
  readonly names: Names;
  readonly topology: Topology;
  readonly schedules: readonly Schedule[];
}

/** @throws ConfigurationError for options, environment or job classes that cannot be */
export function planRuntime(options: CreateRuntimeOptions): RuntimePlan {
  const settings = resolveRuntimeSettings(options);
  const registry = new Registry(options.jobs);
  checkProvided(options.jobs, settings.middleware);
  checkChildren(settings, registry);
  if (!options.broker) for (const url of settings.urls) parseServer(url);
  const names = namesFor(settings.namespace);
  return {
    options,
    settings,
    registry,
    middleware: composed(settings.middleware),
    names,
    topology: wantedTopology(names, registry, settings),
    schedules: schedulesOf(registry.all, settings.schedules),
  };
}
