/** A claim while its job runs: renewed, until the job has ended or the claim is no longer ours. */
import type { IdempotencyStore } from './store.ts';

/** Another worker may run the job, or has run it: the reason of the job's abort signal. */
export class ClaimLostError extends Error {
  override readonly name = 'ClaimLostError';
  constructor() {
    super('the claim on this job was lost: another worker may run it');
  }
}

export interface LeaseOptions {
  store: IdempotencyStore;
  key: string;
  owner: string;
  ttlMs: number;
  /** How long one answer of the store may take, in ms. */
  answerMs: number;
  /** True from when the run has ended for the worker, e.g. by its timeout: then the claim may expire. */
  over(): boolean;
  onLost(): void;
}

/** Asked often enough that two answers in a row may fail. */
const RENEWALS = 3;

export class Lease {
  readonly #it: LeaseOptions;
  readonly #timer: NodeJS.Timeout;
  #heldUntil: number;
  #lost = false;
  #ended = false;

  /** To be made when the claim is; `since`: performance.now() before it was asked for. */
  constructor(options: LeaseOptions, since: number) {
    this.#it = options;
    this.#heldUntil = since + options.ttlMs;
    this.#timer = setInterval(() => void this.#renew(), options.ttlMs / RENEWALS).unref();
  }

  get lost(): boolean {
    return this.#lost;
  }

  end(): void {
    this.#ended = true;
    clearInterval(this.#timer);
  }

  async #renew(): Promise<void> {
    if (this.#it.over()) {
      this.end();
      return;
    }
    const { store, key, owner, ttlMs, answerMs } = this.#it;
    const asked = performance.now();
    try {
      const { state } = await answered(answerMs, store.claim(key, owner, ttlMs));
      if (state === 'claimed') this.#heldUntil = asked + ttlMs;
      else this.#lose();
    } catch {
      // Not known; it is ours for as long as the last answer said.
      if (performance.now() >= this.#heldUntil) this.#lose();
    }
  }

  #lose(): void {
    if (this.#ended) return;
    this.#lost = true;
    this.end();
    this.#it.onLost();
  }
}

/** Rejects when no answer came in time: a client without its server queues commands for as long as it likes. */
export async function answered<T>(ms: number, answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the store did not answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
