/** A runtime inside the test's process, on a real broker. */
import {
  type Client,
  createClient,
  createRuntime,
  type JobClass,
  type Runtime,
  type RuntimeOptions,
} from 'warren';
import { amqpUrl } from './broker.ts';
import { testNamespace } from './namespace.ts';

export interface TestRuntime extends AsyncDisposable {
  readonly runtime: Runtime;
  readonly client: Client;
  readonly namespace: string;
  /** Drains; resolves with the exit code. */
  stop(): Promise<number>;
}

/** Consuming when it resolves. `create`: e.g. the function of the build. The client goes straight to the broker, whatever `url` the runtime has. */
export async function startRuntime(
  jobs: JobClass[],
  options: Partial<RuntimeOptions> = {},
  { clientUrl = amqpUrl(), create = createRuntime } = {},
  beforeRun: (runtime: Runtime) => void = () => {},
): Promise<TestRuntime> {
  const space = testNamespace();
  const namespace = options.namespace ?? space.name;
  const quiet = { http: false, signals: false, logger: false } as const;
  const runtime = create({ url: amqpUrl(), namespace, jobs, ...quiet, ...options });
  beforeRun(runtime);
  const attached = allAttached(runtime, new Set(jobs.map((job) => job.queue ?? 'default')));
  const ended = runtime.run();
  await Promise.race([attached, ended]);
  const client = await createClient({ url: clientUrl, namespace });
  const stop = async () => {
    await runtime.stop();
    return ended;
  };
  return {
    runtime,
    client,
    namespace,
    stop,
    async [Symbol.asyncDispose]() {
      await client.close();
      await stop();
      await space.remove();
    },
  };
}

function allAttached(runtime: Runtime, queues: Set<string>): Promise<void> {
  return new Promise((resolve) => {
    runtime.on('consumer.attached', ({ queue }) => {
      queues.delete(queue);
      if (queues.size === 0) resolve();
    });
  });
}
