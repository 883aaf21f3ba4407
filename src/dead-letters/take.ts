/**
 * The way through a dead queue, holding what is not settled.
 *
 * A quorum queue keeps what came back in front of what was never handed out, but appends to it: take the first of
 * five that came back, and it is the fifth. So whoever takes one of these takes them all and gives them back in
 * their order. Consumers do the work: what one holds comes back in order also when this process is killed (but for
 * the oldest, see there), while messages pulled by basic.get come back shuffled, and holding 20,000 of those took
 * 4 minutes (3.10 and 4.3).
 */
import { Consumed } from './consumed.ts';
import { Budget } from './inbox.ts';
import type { Buried } from './letter.ts';
import { Oldest } from './oldest.ts';
import type { DeadQueue } from './place.ts';

/** `taken`: it was acked; `kept`: it goes back at the end; `stop`: so does it, and no more are visited. */
export type Verdict = 'taken' | 'kept' | 'stop';

export type Visit = (message: Buried) => Promise<Verdict>;

export interface Taken {
  /** How many lay there at the beginning. What dies meanwhile joins at the end and is not visited. */
  total: number;
  visited: number;
}

/** So many one consumer can hold: AMQP's prefetch is a 16-bit number, and a quorum queue takes 0 for 2000. */
export const MOST_HELD = 65_535;

const MOST_BYTES = 256 * 1024 * 1024;

export interface TakeOptions {
  /** How much may be held, in bytes of memory, default 256 MiB: what lies deeper is not visited. */
  bytes?: number;
  /** Aborting gives back what is held, without waiting for more. */
  signal?: AbortSignal;
}

/** Visits the oldest messages, at most `limit`, one after the other. @throws AdminError */
export async function take(
  place: DeadQueue,
  limit: number,
  visit: Visit,
  { bytes = MOST_BYTES, signal }: TakeOptions = {},
): Promise<Taken> {
  const oldest = await Oldest.pull(place);
  const walk = new Walk(place, oldest, { limit, bytes });
  const giveUp = () => walk.giveUp();
  signal?.addEventListener('abort', giveUp);
  try {
    return { total: oldest.total, visited: await visitEach(walk, limit, visit) };
  } finally {
    signal?.removeEventListener('abort', giveUp);
    await walk.leave();
  }
}

async function visitEach(walk: Walk, limit: number, visit: Visit): Promise<number> {
  let visited = 0;
  let verdict: Verdict = 'kept';
  let last: Buried | undefined;
  while (visited < limit && verdict !== 'stop') {
    last = await walk.next();
    if (!last) return visited;
    visited++;
    verdict = await visit(last);
    if (verdict === 'taken') walk.settled(last);
  }
  // What is on its way to us would go back at once, ahead of what we hold.
  while (last && (last.redelivered || walk.isAwaiting)) last = await walk.next();
  return visited;
}

/**
 * One consumer as a rule. Where more have to be held than it can, or than were asked for, another one joins it;
 * they leave in the order in which they came, and what they hold goes back in that order.
 */
class Walk {
  readonly #place: DeadQueue;
  readonly #oldest: Oldest;
  readonly #budget: Budget;
  readonly #consumed: Consumed[] = [];
  #left: number;
  #size: number;

  constructor(place: DeadQueue, oldest: Oldest, { limit, bytes }: { limit: number; bytes: number }) {
    this.#place = place;
    this.#oldest = oldest;
    this.#budget = new Budget(bytes);
    this.#left = oldest.total;
    // One of them is the oldest.
    this.#size = Math.max(1, Math.min(oldest.total, limit, MOST_HELD) - 1);
  }

  async next(): Promise<Buried | undefined> {
    if (this.#left === 0) return undefined;
    const isFirst = this.#left === this.#oldest.total;
    const message = isFirst ? this.#oldest.message : await this.#consumer().next();
    this.#left = message ? this.#left - 1 : 0;
    return message;
  }

  /** The broker is handing out more than has arrived. */
  get isAwaiting(): boolean {
    const current = this.#consumed.at(-1);
    return this.#left > 0 && current !== undefined && !current.isFull;
  }

  giveUp(): void {
    this.#left = 0;
    this.#consumed.at(-1)?.giveUp();
  }

  settled(message: Buried): void {
    if (message === this.#oldest.message) return;
    this.#consumed.at(-1)?.settled();
    this.#budget.giveBack(message);
  }

  async leave(): Promise<void> {
    // None of them may be handed what another one gives back.
    await Promise.all(this.#consumed.map((consumed) => consumed.stop()));
    const failures: unknown[] = [];
    for (const held of [this.#oldest, ...this.#consumed])
      await held.leave().catch((failure) => failures.push(failure));
    if (failures.length > 0) throw failures[0];
  }

  #consumer(): Consumed {
    const current = this.#consumed.at(-1);
    if (current && !current.isFull) return current;
    const next = new Consumed(this.#place, this.#size, this.#budget);
    this.#consumed.push(next);
    this.#size = Math.min(this.#size * 2, MOST_HELD);
    return next;
  }
}
