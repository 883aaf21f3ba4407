/** A claim while its job runs: renewed, until the job has ended or the claim is no longer ours. */
import { within } from '../deadline.ts';
import type { IdempotencyStore } from './store.ts';

/** A client without its server queues commands for as long as it likes: none is awaited without a limit. */
export const THE_ANSWER = "the store's answer";

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
      const { state } = await within(answerMs, THE_ANSWER, store.claim(key, owner, ttlMs));
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
