/**
 * Jobs that ran longer than the broker waits for an ack. It has taken their messages back and hands them out again; a
 * run that failed of it is settled with the message that comes back, so that a job which always takes too long spends
 * its attempts instead of running for ever.
 */
import type { Delivery } from '../broker/broker.ts';
import { formatDuration } from '../core/duration.ts';
import type { AttemptInfo } from '../core/events.ts';
import type { JobHeaders } from '../core/headers.ts';
import type { Outcome } from '../core/outcome.ts';
import { sameRun } from './recall.ts';
import type { Run } from './run.ts';
import type { Unsettled } from './settle.ts';

/** The signal of a job that ran longer than the broker waits for an ack has this as its reason. */
export class AckTimeoutError extends Error {
  override readonly name = 'AckTimeoutError';
}

export function tookTooLong(afterMs: number): AckTimeoutError {
  return new AckTimeoutError(
    `the broker waited ${formatDuration(afterMs)} for this job and hands it out again; ` +
      'give the job a shorter timeout, or the broker a longer consumer_timeout',
  );
}

/** RabbitMQ's own `consumer_timeout`. */
export const USUAL_ACK_TIMEOUT_MS = 1_800_000;

/** What the broker counts from the delivery is counted here from the start of the run, a little later. */
const NEARLY = 0.95;

/**
 * RabbitMQ supports no limit below a minute. On 4.3 a consumer is cancelled for other reasons, too, and without a word.
 * https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout
 */
const LEAST_MS = 60_000;

/**
 * Of the runs whose delivery is gone: those that took too long. Where the limit is not known but taken for the usual one,
 * it may be shorter: then the oldest, if any limit can have struck it.
 */
export function overdue(active: Iterable<Run>, afterMs: number, limit: { known: boolean }): Run[] {
  const gone = [...active].filter(({ ended, delivery }) => !ended && !delivery.live);
  const late = gone.filter(({ durationMs }) => durationMs >= afterMs * NEARLY);
  return late.length > 0 || limit.known
    ? late
    : gone.slice(0, 1).filter(({ durationMs }) => durationMs >= LEAST_MS);
}

type Failure = Exclude<Outcome, { kind: 'done' }>;

export interface Owed {
  run: Unsettled;
  outcome: Failure;
  info: AttemptInfo;
}

const MOST_OWED = 1_000;

/** Failures whose message was not here when they happened. */
export class OwedSettlements {
  readonly #late = new WeakSet<object>();
  readonly #owed = new Map<string, Owed>();

  /** This run was told that its message is gone. */
  mayOwe(run: Run): void {
    this.#late.add(run);
  }

  /** Only of a run that was told so: whatever else could not be settled is run again. */
  add(owed: Owed): void {
    if (!this.#late.has(owed.run)) return;
    this.#owed.set(owed.run.id, owed);
    const [oldest] = this.#owed.keys();
    if (this.#owed.size > MOST_OWED && oldest !== undefined) this.#owed.delete(oldest);
  }

  /** What is owed to this delivery, which takes the place of the one that is gone. */
  take(id: string, headers: JobHeaders, delivery: Delivery): Owed | undefined {
    const owed = this.#owed.get(id);
    if (!owed || !sameRun(owed.run.headers, headers)) return undefined;
    if (!owed.run.delivery.body.equals(delivery.body)) return undefined;
    this.#owed.delete(id);
    owed.run.delivery = delivery;
    return owed;
  }
}
