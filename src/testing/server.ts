/** A memory server on which the queues of some jobs stand already. */
import { namesFor } from '../../topology/names.ts';
import { planTopology } from '../../topology/plan.ts';
import { createMemoryServer, type MemoryOptions, type MemoryServer } from '../broker/memory.ts';
import { Registry } from '../core/registry.ts';
import type { JobClass } from '../job.ts';

export interface TestServerOptions extends MemoryOptions {
  /** Their queues and delays are declared. A runtime declares its own. */
  jobs?: readonly JobClass[] | undefined;
  /** As in the options of client and runtime. */
  namespace?: string | undefined;
}

/**
 * RabbitMQ in memory: `createClient({ broker: server.broker() })`, `createRuntime({ broker: server.broker(), jobs })`.
 * @throws ConfigurationError for a class that cannot be registered
 */
export function createTestServer({ jobs = [], namespace, ...options }: TestServerOptions = {}): MemoryServer {
  const server = createMemoryServer(options);
  const registry = new Registry(jobs);
  const queues = registry.queues.map((name) => ({ name }));
  server.declare(planTopology({ names: namesFor(namespace), queues, delays: registry.delays }));
  return server;
}
