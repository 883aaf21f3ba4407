/** Enqueues steadily, through the fault as well, and remembers what was accepted and what was refused. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { type Client, PublishError } from 'warren';
import type { Plan, Refusal } from './oracle.ts';

export interface LoadSettings {
  /** Jobs a second. */
  rate: number;
  /** Jobs enqueued at once at the start. */
  burst: number;
  /** Enqueues without an answer at most. */
  pending: number;
  /** Length of the short and of the long jobs, in ms. */
  ms: [short: number, long: number];
  /** Whether some jobs fail. */
  failing: boolean;
}

/** How long an enqueue tries: shorter than most faults last, so that refusals are seen as well. */
export const DEADLINE_MS = 6000;
/** As FaultJob says. */
export const ATTEMPTS = 3;
/** warren's default. */
export const MAX_CRASHES = 3;
const TICK_MS = 50;

export class Load {
  readonly accepted = new Map<string, Plan>();
  readonly refused: Refusal[] = [];
  readonly #client: Client;
  readonly #settings: LoadSettings;
  readonly #pending = new Set<Promise<void>>();
  readonly #delays = monitorEventLoopDelay({ resolution: 20 });
  #timer: NodeJS.Timeout | undefined;
  #owed = 0;
  #count = 0;

  constructor(client: Client, settings: LoadSettings) {
    this.#client = client;
    this.#settings = settings;
  }

  start(): void {
    this.#delays.enable();
    this.#owed = this.#settings.burst;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#tick();
  }

  /** Resolves when every enqueue under way has its answer. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#pending);
    this.#delays.disable();
  }

  /** Enqueues without an answer. */
  get pending(): number {
    return this.#pending.size;
  }

  /** The longest time for which this process stood still, and with it its deadlines. */
  get stalledMs(): number {
    return this.#delays.max / 1e6;
  }

  #tick(): void {
    this.#owed += (this.#settings.rate * TICK_MS) / 1000;
    for (; this.#owed >= 1 && this.#pending.size < this.#settings.pending; this.#owed--) this.#enqueue();
    // What could not be sent meanwhile is not sent later in one burst.
    this.#owed = Math.min(this.#owed, this.#settings.pending);
  }

  #enqueue(): void {
    const n = this.#count++;
    const [short, long] = this.#settings.ms;
    const failures = this.#settings.failing ? failuresOf(n) : 0;
    const payload = { ms: n % 10 === 3 ? long : short, failures };
    void this.#send('FaultJob', `job-${n}`, payload, { failures });
  }

  /** One more job than the steady ones. Resolves when it was accepted or refused. */
  add(job: string, payload: object, plan: Omit<Plan, 'enqueuedAt'>): Promise<void> {
    return this.#send(job, `${job}-${this.#count++}`, payload, plan);
  }

  #send(job: string, id: string, payload: object, plan: Omit<Plan, 'enqueuedAt'>): Promise<void> {
    const pending = this.#try(job, id, payload, plan).finally(() => this.#pending.delete(pending));
    this.#pending.add(pending);
    return pending;
  }

  async #try(job: string, id: string, payload: object, plan: Omit<Plan, 'enqueuedAt'>): Promise<void> {
    const enqueuedAt = Date.now();
    try {
      await this.#client.enqueue(job, payload, { queue: 'faults', id });
      this.accepted.set(id, { ...plan, enqueuedAt });
    } catch (error) {
      const reason = error instanceof PublishError ? error.reason : undefined;
      this.refused.push({ id, reason, lateMs: Date.now() - enqueuedAt - DEADLINE_MS });
    }
  }
}

/** One of ten fails once, one of fifty as often as it can. */
function failuresOf(n: number): number {
  if (n % 50 === 25) return ATTEMPTS;
  return n % 10 === 0 ? 1 : 0;
}
