/** What operators do with the dead, and with what lies in `unrouted`: list, show, send again, throw away. */
import { forwardProperties, replayProperties } from './core/envelope.ts';
import { BlockedError, ClosedError, DeadlineError, UnroutableError } from './core/errors.ts';
import {
  type Buried,
  type DeadLetter,
  type DeadLetterInFull,
  fingerprint,
  inFull,
  letterOf,
} from './dead-letters/letter.ts';
import { type DeadQueue, UNROUTED } from './dead-letters/place.ts';
import { MOST_HELD, type Taken, take, type Verdict, type Visit } from './dead-letters/take.ts';

export type { DeadLetter, DeadLetterInFull, DeadQueue, Taken };
export { MOST_HELD, UNROUTED };

/** Every letter, or those with these ids. One id means every letter that has it: several jobs may share it. */
export type Selection = { all: true } | { ids: readonly string[] };

export interface Missing {
  /** Ids that none of the letters looked at had. */
  missing: string[];
  /**
   * Letters that were not looked at: they lie too deep to hold all those above (256 MiB), come after a failure
   * that ended it, or are with another operator just now.
   */
  unseen: number;
}

export interface Shown extends Missing {
  letters: DeadLetterInFull[];
}

export interface Handled extends Missing {
  /** These stay in the dead queue. */
  failed: { letter: DeadLetter; error: Error }[];
}

export interface HandleOptions {
  /** Only tells what would be done. */
  dryRun?: boolean | undefined;
  /** Called for each letter as soon as it is done for good. */
  onDone?: ((letter: DeadLetter) => void) | undefined;
}

/** The oldest letters, at most MOST_HELD, and how many there are in all. @throws AdminError */
export async function listDeadLetters(
  place: DeadQueue,
  limit: number,
): Promise<{ letters: DeadLetter[]; total: number }> {
  const letters: DeadLetter[] = [];
  const { total } = await take(place, limit, async (message) => {
    letters.push(letterOf(message, place));
    return 'kept';
  });
  return { letters, total };
}

/** `limit` holds for all, not for ids. @throws AdminError */
export async function showDeadLetters(place: DeadQueue, selection: Selection, limit: number): Promise<Shown> {
  const chosen = new Chosen(selection);
  const letters: DeadLetterInFull[] = [];
  const most = 'all' in selection ? limit : Number.POSITIVE_INFINITY;
  const taken = await take(place, most, async (message) => {
    if (chosen.has(message)) letters.push(inFull(message, place));
    return 'kept';
  });
  return { letters, ...chosen.missingIn(taken) };
}

/**
 * Sends letters to their work queue again, as fresh jobs (those in `unrouted`, which did not fail, as they are): first
 * published, confirmed and routed, then taken out of the queue they lie in, one by one. Killed in between, one letter is at
 * worst in both.
 * @throws AdminError
 */
export function replayDeadLetters(
  place: DeadQueue,
  selection: Selection,
  options: HandleOptions = {},
): Promise<Handled> {
  return handle(place, selection, options, (message) => republish(place, message));
}

/** Takes letters out of the dead queue for good. @throws AdminError */
export function discardDeadLetters(
  place: DeadQueue,
  selection: Selection,
  options: HandleOptions = {},
): Promise<Handled> {
  return handle(place, selection, options, async () => {});
}

const PUBLISH_DEADLINE_MS = 10_000;

/** The way back is known by the queue the letter lies in, or by its key; what its headers say about it may be forged. */
function republish({ broker, names, queue }: DeadQueue, letter: Buried): Promise<void> {
  const { body, properties, routingKey } = letter;
  const sent =
    queue === UNROUTED
      ? { routingKey, properties: forwardProperties(properties) }
      : { routingKey: names.queue(queue), properties: replayProperties(properties, Date.now()) };
  return broker.publish({ exchange: names.jobs, body, ...sent }, { deadline: PUBLISH_DEADLINE_MS });
}

type Deed = (message: Buried) => Promise<void>;

async function handle(
  place: DeadQueue,
  selection: Selection,
  options: HandleOptions,
  deed: Deed,
): Promise<Handled> {
  const one = new OneByOne(place, options, deed);
  const chosen = new Chosen(selection);
  const visit: Visit = async (message) => (chosen.has(message) ? one.take(message) : 'kept');
  const taken = await take(place, Number.POSITIVE_INFINITY, visit);
  // What is taken out makes room for what lay too deep.
  const goesOn = 'all' in selection && !options.dryRun;
  for (let more = taken; goesOn && !one.hasStopped && more.visited > 0 && taken.visited < taken.total; ) {
    more = await take(place, taken.total - taken.visited, visit);
    taken.visited += more.visited;
  }
  return { failed: one.failed, ...chosen.missingIn(taken) };
}

const MOST_FAILURES = 10;

class OneByOne {
  readonly failed: Handled['failed'] = [];
  hasStopped = false;
  readonly #place: DeadQueue;
  readonly #options: HandleOptions;
  readonly #deed: Deed;

  constructor(place: DeadQueue, options: HandleOptions, deed: Deed) {
    this.#place = place;
    this.#options = options;
    this.#deed = deed;
  }

  readonly take = async (message: Buried): Promise<Verdict> => {
    const letter = letterOf(message, this.#place);
    try {
      if (!this.#options.dryRun) await this.#settle(message);
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      this.failed.push({ letter, error });
      this.hasStopped = this.#isHopeless(error);
      return this.hasStopped ? 'stop' : 'kept';
    }
    this.#options.onDone?.(letter);
    return this.#options.dryRun ? 'kept' : 'taken';
  };

  /** The jobs in `unrouted` are for many queues: that one of them is gone says nothing of the others. */
  #isHopeless(error: Error): boolean {
    if (this.#place.queue === UNROUTED && error instanceof UnroutableError) return false;
    return isShared(error) || this.failed.length >= MOST_FAILURES;
  }

  async #settle(message: Buried): Promise<void> {
    await this.#deed(message);
    // It is done all the same: the letter is now in both queues, and nothing is lost.
    if (message.ack() === false)
      throw new Error('the connection was lost before it could be taken out of its queue');
    // Acks are written at the end of a turn. Only then comes the next, so that a kill leaves one in both, not two.
    await new Promise(setImmediate);
  }
}

/** All letters of a queue share its way back: where it is closed to one, the next would only wait for as long. */
function isShared(error: Error): boolean {
  return [UnroutableError, BlockedError, DeadlineError, ClosedError].some((kind) => error instanceof kind);
}

class Chosen {
  readonly #ids: ReadonlySet<string> | undefined;
  readonly #missing: Set<string>;

  constructor(selection: Selection) {
    this.#ids = 'ids' in selection ? new Set(selection.ids) : undefined;
    this.#missing = new Set(this.#ids);
  }

  has(message: Buried): boolean {
    if (!this.#ids) return true;
    const addresses = [message.properties.messageId, fingerprint(message)];
    const address = addresses.find((id) => id !== undefined && this.#ids?.has(id));
    if (address === undefined) return false;
    this.#missing.delete(address);
    return true;
  }

  missingIn({ total, visited }: Taken): Missing {
    return { missing: [...this.#missing], unseen: total - visited };
  }
}
