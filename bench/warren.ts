/** Warren as a user has it: `createClient` and `createRuntime` with their defaults, HTTP and (as asked) logs aside. */
import { pino } from 'pino';
import { createClient, createRuntime, Job, type JobContext } from '../src/index.ts';
import {
  JOB,
  type Payload,
  type Rig,
  type RigOptions,
  RUNG_MS,
  type Sender,
  type Worker,
  type WorkerOptions,
} from './rig.ts';

export interface WarrenOptions extends RigOptions {
  /** `'auto'` is the product's default. */
  prefetch?: number | 'auto';
}

export class Warren implements Rig {
  readonly #options: WarrenOptions;

  constructor(options: WarrenOptions) {
    this.#options = options;
  }

  async sender(queue: string): Promise<Sender> {
    const { url, namespace } = this.#options;
    const client = await createClient({ url, namespace });
    const job = jobFor(queue);
    return {
      send: (payload) => client.enqueue(job, payload),
      sendMany: (payloads) => client.enqueueMany(job, payloads),
      close: () => client.close(),
    };
  }

  async worker({ queue, concurrency, perform, retried, logs }: WorkerOptions): Promise<Worker> {
    const { url, namespace, prefetch = 'auto' } = this.#options;
    const runtime = createRuntime({
      url,
      namespace,
      jobs: [jobFor(queue, perform)],
      queues: { [queue]: { concurrency, prefetch } },
      http: false,
      signals: false,
      logger: logs ? pino(pino.destination('/dev/null')) : false,
    });
    if (retried) runtime.on('job.retried', retried);
    const attached = new Promise<void>((resolve) => runtime.on('consumer.attached', () => resolve()));
    const running = runtime.run();
    await Promise.race([attached, running]);
    return {
      stop: async () => {
        await runtime.stop();
        await running;
      },
    };
  }
}

function jobFor(queue: string, perform: WorkerOptions['perform'] = async () => {}) {
  return class extends Job<Payload> {
    static override queue = queue;
    static override jobName = JOB;
    static override retry = { attempts: 3, backoff: [RUNG_MS] };

    perform(payload: Payload, { attempt }: JobContext): Promise<void> {
      return perform(payload, attempt);
    }
  };
}
