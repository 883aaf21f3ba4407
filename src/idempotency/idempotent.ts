/** The middleware for jobs whose effects must happen once, also across processes. */
import { randomUUID } from 'node:crypto';
import { type Duration, parseDuration } from '../core/duration.ts';
import { ConfigurationError } from '../core/errors.ts';
import type { JobRun, Middleware } from '../core/middleware.ts';
import { isControl, snooze } from '../core/outcome.ts';
import { within } from '../deadline.ts';
import { jobNameOf } from '../job.ts';
import { ClaimLostError, Lease, THE_ANSWER } from './lease.ts';
import type { Claimed, IdempotencyStore } from './store.ts';

export interface IdempotentOptions {
  /**
   * How long the claim of a worker that died keeps others off, default 30 s, at least 100 ms. It is renewed three times
   * in that time while the job runs, so it must be longer than a job may block the event loop.
   */
  ttl?: Duration;
  /** How long it is remembered that a job was done, default 24 h. A job may say its own. */
  keep?: Duration;
  /** How long one answer of the store may take, default 5 s. */
  answerWithin?: Duration;
}

interface Settings {
  store: IdempotencyStore;
  ttlMs: number;
  keepMs: number;
  answerMs: number;
}

const LEAST_TTL_MS = 100;
/** When to come back where the store did not answer; it costs no attempt. */
const STORE_AWAY_MS = 5_000;
const PAUSE_MS = 250;

/**
 * Runs each job that has a static `idempotent` once for its key, whoever else has it too. Done before: it counts as
 * succeeded and is not run. Running elsewhere, or the store does not answer: it snoozes, which costs no attempt.
 * @throws ConfigurationError for times that cannot be
 */
export function idempotent(store: IdempotencyStore, options: IdempotentOptions = {}): Middleware {
  const settings: Settings = {
    store,
    ttlMs: parseDuration(options.ttl ?? '30s', 'ttl'),
    keepMs: parseDuration(options.keep ?? '1d', 'keep'),
    answerMs: parseDuration(options.answerWithin ?? '5s', 'answerWithin'),
  };
  if (settings.ttlMs < LEAST_TTL_MS)
    throw new ConfigurationError(`ttl: it must be at least ${LEAST_TTL_MS}ms`);
  const middleware: Middleware = (run, next) => {
    const key = keyOf(run);
    return key === undefined ? next() : claimAndRun(run, next, key, settings);
  };
  return Object.assign(middleware, { provides: 'idempotency' });
}

/** Undefined: nothing to be guarded. */
function keyOf({ job, payload, context }: JobRun): string | undefined {
  const { idempotent: wanted } = job;
  if (!wanted) return undefined;
  const key = wanted === true || !wanted.key ? context.id : wanted.key(payload, context);
  return key === undefined ? undefined : `${jobNameOf(job)}:${key}`;
}

function keepOf({ job: { idempotent: wanted } }: JobRun, fallback: number): number {
  return typeof wanted === 'object' && wanted.keep !== undefined
    ? parseDuration(wanted.keep, 'keep')
    : fallback;
}

async function claimAndRun(
  run: JobRun,
  next: () => Promise<unknown>,
  key: string,
  settings: Settings,
): Promise<unknown> {
  const { log } = run.context;
  const owner = randomUUID();
  const asked = performance.now();
  const claim = await claimed(run, key, owner, settings);
  if (claim === undefined) return snooze(Math.min(STORE_AWAY_MS, settings.ttlMs));
  if (claim.state === 'done') {
    log.info('done before: not run again');
    return undefined;
  }
  if (claim.state === 'busy') {
    log.info('runs elsewhere: looked at again when that claim could have expired', { leftMs: claim.leftMs });
    return snooze(Math.max(1, Math.ceil(claim.leftMs)));
  }
  return new ClaimedRun(run, key, owner, settings, asked).perform(next);
}

/** Undefined when the store did not say: then the job must not run, somebody else may be at it. */
async function claimed(
  { context }: JobRun,
  key: string,
  owner: string,
  { store, ttlMs, answerMs }: Settings,
): Promise<Claimed | undefined> {
  try {
    return await within(answerMs, THE_ANSWER, store.claim(key, owner, ttlMs));
  } catch (error) {
    context.log.warn('not run: the idempotency store does not answer', { reason: String(error) });
    return undefined;
  }
}

class ClaimedRun {
  readonly #run: JobRun;
  readonly #key: string;
  readonly #owner: string;
  readonly #settings: Settings;
  readonly #lease: Lease;

  constructor(run: JobRun, key: string, owner: string, settings: Settings, since: number) {
    this.#run = run;
    this.#key = key;
    this.#owner = owner;
    this.#settings = settings;
    const { store, ttlMs, answerMs } = settings;
    const { signal } = run.context;
    const over = () => signal.aborted && (signal.reason as Error)?.name === 'JobTimeoutError';
    const onLost = () => run.abort(new ClaimLostError());
    this.#lease = new Lease({ store, key, owner, ttlMs, answerMs, over, onLost }, since);
  }

  async perform(next: () => Promise<unknown>): Promise<unknown> {
    let value: unknown;
    try {
      value = await next();
    } catch (error) {
      await this.#release();
      // Whoever has the claim now decides what becomes of the job; this failure spends no attempt.
      if (this.#lease.lost) return snooze(this.#settings.ttlMs);
      throw error;
    }
    if (isControl(value)) await this.#release();
    else await this.#complete();
    return value;
  }

  /** Before the ack. Tried until the claim would have expired: what is not recorded could run again. */
  async #complete(): Promise<void> {
    const { store, ttlMs, answerMs } = this.#settings;
    const keepMs = keepOf(this.#run, this.#settings.keepMs);
    const until = performance.now() + Math.min(ttlMs, answerMs);
    for (;;) {
      try {
        const kept = await within(answerMs, THE_ANSWER, store.complete(this.#key, this.#owner, keepMs));
        this.#lease.end();
        if (!kept)
          this.#run.context.log.warn('it ran to its end after its claim was lost: it may have run twice');
        return;
      } catch (error) {
        if (performance.now() >= until) return this.#unrecorded(error);
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
  }

  /** The job is done all the same; failing it now would certainly run it again. */
  #unrecorded(error: unknown): void {
    this.#lease.end();
    const reason = String(error);
    this.#run.context.log.warn(
      'done, but the idempotency store did not take it: the same key may run again',
      { reason },
    );
  }

  async #release(): Promise<void> {
    this.#lease.end();
    const { store, answerMs } = this.#settings;
    // Where it fails the claim expires by itself.
    await within(answerMs, THE_ANSWER, store.release(this.#key, this.#owner)).catch(() => false);
  }
}
