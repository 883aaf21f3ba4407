/**
 * What this process knows of jobs it has already settled, so that one that comes back because its ack
 * was lost is acked and not run again. Bounded; only ever asked about deliveries that may have been here before.
 */
import type { Delivery } from '../broker/broker.ts';
import { HEADER, type JobHeaders } from '../core/headers.ts';

/** Names one run for ever: the same id may be enqueued, retried and replayed again. */
type Run = Pick<JobHeaders, 'attempt' | 'replays' | 'crashes' | 'enqueuedAt'>;

/** More than any automatic prefetch can have unacked. */
const LEAST_KEPT = 4096;
const NEVER = Number.NaN;
const NOWHERE = -1;

/**
 * A ring of plain numbers: remembering happens for every job, looking up hardly ever, and objects that live
 * as long as this would keep the garbage collector busy. The index is made when something first comes back.
 */
export class Recall {
  readonly #size: number;
  readonly #ids: (string | undefined)[];
  /** Four numbers a run. */
  readonly #numbers: Float64Array;
  /** Where the run of the same id before it is, as far as the index knows. */
  readonly #before: Int32Array;
  #next = 0;
  #index: Map<string, number> | undefined;
  /** How many were remembered since the index was last of use. */
  #unasked = 0;

  /** `held`: how many deliveries can be unacked at once. */
  constructor(held = 0) {
    this.#size = Math.max(LEAST_KEPT, held * 2);
    this.#ids = new Array(this.#size).fill(undefined);
    this.#numbers = new Float64Array(this.#size * 4);
    this.#before = new Int32Array(this.#size).fill(NOWHERE);
  }

  remember(id: string, run: Run): void {
    const place = this.#next;
    this.#next = (place + 1) % this.#size;
    if (this.#index) this.#reindex(this.#index, place, id);
    this.#ids[place] = id;
    this.#numbers[place * 4] = run.attempt;
    this.#numbers[place * 4 + 1] = run.replays;
    this.#numbers[place * 4 + 2] = run.crashes;
    this.#numbers[place * 4 + 3] = run.enqueuedAt ?? NEVER;
  }

  /** Of a job that was doubled several attempts may have ended here, in any order. */
  has(id: string, run: Run): boolean {
    this.#unasked = 0;
    // Without the moment it was enqueued, a foreign message may be another one that has the same id.
    if (run.enqueuedAt === undefined) return false;
    this.#index ??= this.#indexed();
    let place = this.#index.get(id);
    // Each is older than the one before, or its place has been given to another since.
    for (let age = -1; place !== undefined && this.#ids[place] === id && this.#age(place) > age; ) {
      if (sameRun(this.#runAt(place), run)) return true;
      age = this.#age(place);
      place = this.#before[place];
    }
    return false;
  }

  #age(place: number): number {
    return (this.#next - 1 - place + this.#size) % this.#size;
  }

  #runAt(place: number): Run {
    const [attempt = 0, replays = 0, crashes = 0, enqueuedAt = NEVER] = this.#numbers.subarray(
      place * 4,
      place * 4 + 4,
    );
    return { attempt, replays, crashes, enqueuedAt: Number.isNaN(enqueuedAt) ? undefined : enqueuedAt };
  }

  /** Oldest first, so that each id leads to its last run. */
  #indexed(): Map<string, number> {
    const index = new Map<string, number>();
    for (let step = 0; step < this.#size; step++) {
      const place = (this.#next + step) % this.#size;
      const id = this.#ids[place];
      if (id !== undefined) this.#enter(index, place, id);
    }
    return index;
  }

  #enter(index: Map<string, number>, place: number, id: string): void {
    this.#before[place] = index.get(id) ?? NOWHERE;
    index.set(id, place);
  }

  /** Given up when nothing has come back for a whole round: keeping it costs more than all the rest here. */
  #reindex(index: Map<string, number>, place: number, id: string): void {
    if (++this.#unasked > this.#size) {
      this.#index = undefined;
      return;
    }
    const gone = this.#ids[place];
    if (gone !== undefined && index.get(gone) === place) index.delete(gone);
    this.#enter(index, place, id);
  }
}

export function sameRun(one: Run, other: Run): boolean {
  return (
    one.attempt === other.attempt &&
    one.replays === other.replays &&
    one.crashes === other.crashes &&
    one.enqueuedAt === other.enqueuedAt
  );
}

/**
 * Handed out again, or the job of a tick: a broker that crashes while it dead-letters one may make two of it, and
 * neither is marked. Of other jobs two that look alike may be two on purpose.
 */
export function mayBeKnown(delivery: Delivery): boolean {
  return delivery.redelivered || isTick(delivery);
}

/** Its id says schedule and moment, so there is one for each attempt. */
export function isTick({ properties: { messageId, headers } }: Delivery): boolean {
  return messageId?.startsWith('cron:') === true && Object.hasOwn(headers, HEADER.tick);
}
