/** Who may know whom. A path that ends in a slash is a folder; of several that fit a file the longest counts. */

/** Imports go down or stay level. docs/architecture.md tells why each stands where it stands. */
export const floors: Record<number, readonly string[]> = {
  5: ['workers/', 'examples/'],
  4: [
    'src/index.ts',
    'src/create.ts',
    'src/idempotency.ts',
    'src/idempotency/',
    'src/testing.ts',
    'src/testing/',
    'src/cli/',
  ],
  3: ['src/runtime.ts', 'src/runtime/', 'src/http/', 'src/observe/', 'src/supervise/', 'src/health.ts'],
  2: [
    'src/client.ts',
    'src/client/',
    'src/runner.ts',
    'src/run/',
    'src/inspect.ts',
    'src/levels.ts',
    'src/schedule/',
    'src/dead-letters.ts',
    'src/dead-letters/',
    'src/reroute.ts',
    'src/reroute/',
    'src/isolate/',
    'src/load-workers.ts',
  ],
  1: [
    'src/broker/',
    'src/config.ts',
    'src/config/',
    'topology/declarer.ts',
    'src/deadline.ts',
    'src/version.ts',
    'src/new-id.ts',
    'src/orphan-watch.ts',
  ],
  0: ['src/core/', 'src/job.ts', 'src/options.ts', 'topology/'],
};

/** Third-party packages that have one home. */
export const homes: Record<string, readonly string[]> = {
  amqplib: ['src/broker/'],
  'amqp-connection-manager': ['src/broker/'],
  commander: ['src/cli/'],
  'cli-table3': ['src/cli/'],
  croner: ['src/core/cron.ts'],
  cronstrue: ['src/cli/'],
  fastify: ['src/http/', 'examples/'],
};

/** The only files of a folder that others may import. */
export const doors: Record<string, readonly string[]> = {
  'src/broker/': [
    'src/broker/broker.ts',
    'src/broker/rabbitmq.ts',
    'src/broker/memory.ts',
    // Reads a URL, and opens nothing.
    'src/broker/server.ts',
  ],
};

/** The runner knows the broker contract, never RabbitMQ. */
export const contractOnly = {
  from: [
    'src/runner.ts',
    'src/run/',
    'src/isolate/',
    'src/inspect.ts',
    'src/dead-letters.ts',
    'src/dead-letters/',
    'src/reroute.ts',
    'src/reroute/',
    'src/schedule/',
    'src/health.ts',
    'topology/declarer.ts',
  ],
  to: ['src/broker/broker.ts'],
};

/** The only readers of the environment; examples stand for users' programs. */
export const environmentReaders: readonly string[] = ['src/config.ts', 'workers/', 'examples/'];

/** No I/O, no clock, no random, no environment: those are passed in. */
export const pure = {
  files: ['src/core/', 'src/job.ts', 'topology/'],
  except: ['topology/declarer.ts'],
  packages: ['@standard-schema/spec', 'croner'],
  banned:
    /^(Date\.now|new Date|Math\.random|performance\..*|crypto\..*|process\..*|console\..*|setTimeout|setInterval|setImmediate|queueMicrotask|fetch)$/,
};

/** What user code may import of this project: the public API. */
export const publicApi: readonly string[] = ['warren', 'warren/idempotency', 'warren/testing'];
