/**
 * `createClient` and `createRuntime` as users import them. What they run on is loaded at their first use: a job's file
 * imports `warren` for its base class, in web services and in children too, and those need no HTTP server and no metrics.
 */
import type { Client, CreateClientOptions } from './client.ts';
import { EventBus, type EventName, type Listener } from './core/events.ts';
import { type CreateRuntimeOptions, planRuntime, type RuntimePlan } from './runtime/plan.ts';
import type { Runtime } from './runtime.ts';

/**
 * Connects, and keeps connected until closed.
 * @throws ConfigurationError
 * @throws BrokerUnreachableError when `connectTimeout` (10 s) is over
 */
export async function createClient(options: CreateClientOptions = {}): Promise<Client> {
  const client = await import('./client.ts');
  return client.createClient(options);
}

/** @throws ConfigurationError for options, environment or job classes that cannot be */
export function createRuntime(options: CreateRuntimeOptions): Runtime {
  return new LoadedWhenUsed(planRuntime(options));
}

/** Subscribers hear of everything: they are on the bus before the runtime is. */
class LoadedWhenUsed implements Runtime {
  readonly #plan: RuntimePlan;
  readonly #bus = new EventBus();
  #loading: Promise<Runtime> | undefined;

  constructor(plan: RuntimePlan) {
    this.#plan = plan;
  }

  on<E extends EventName>(event: E, listener: Listener<E>): () => void {
    return this.#bus.on(event, listener);
  }

  async run(): Promise<number> {
    return (await this.#load()).run();
  }

  async stop(): Promise<number> {
    return (await this.#load()).stop();
  }

  async metrics(): Promise<string> {
    return (await this.#load()).metrics();
  }

  #load(): Promise<Runtime> {
    this.#loading ??= import('./runtime.ts').then(({ runtimeOf }) => runtimeOf(this.#plan, this.#bus));
    return this.#loading;
  }
}
