/**
 * How many deliveries to hold. With prefetch = concurrency the broker's round trip is the limit for short
 * jobs; with more, a long job would keep others waiting here that a free worker could run. So hold more
 * only while it amounts to some tens of milliseconds of work. Pure: times are passed in, in ms.
 */

/** The work, in ms, that may wait in this process. */
const HELD_MS = 30;
/** Held work that would take longer than this goes back to the broker. */
const TOO_LONG_MS = 100;
const MOST_HELD = 2_000;
/** A change costs a new consumer, so small ones are not worth it. */
const LEAST_CHANGE = 2;
/** Over how long the rate is measured. */
const WINDOW_MS = 40;
/** After a fall back: what waited has been handed out twice, which must not become a habit. */
const REST_MS = 5_000;

export class Pace {
  readonly #concurrency: number;
  readonly #fixed: boolean;
  #prefetch: number;
  #restsUntil = Number.NEGATIVE_INFINITY;
  #raise: Window = { at: Number.NEGATIVE_INFINITY, count: 0 };
  #look: Window = { at: 0, count: 0 };

  constructor(concurrency: number, prefetch: number | 'auto') {
    this.#concurrency = concurrency;
    this.#fixed = prefetch !== 'auto';
    this.#prefetch = prefetch === 'auto' ? concurrency : prefetch;
  }

  get prefetch(): number {
    return this.#prefetch;
  }

  /**
   * The prefetch to change to now, if it is worth a change. To be asked when a job has ended and no other
   * waits; `ended` is how many have in all. It follows from the rate at which jobs end, whatever limits it:
   * their own time, the event loop, or the confirms of their retry copies.
   */
  raise(now: number, ended: number): number | undefined {
    const elapsed = now - this.#raise.at;
    if (this.#fixed || elapsed < WINDOW_MS) return undefined;
    const held = Math.floor(((ended - this.#raise.count) / elapsed) * HELD_MS);
    this.#raise = { at: now, count: ended };
    const wanted = this.#concurrency + Math.min(MOST_HELD, held);
    if (now < this.#restsUntil || wanted < this.#prefetch * LEAST_CHANGE) return undefined;
    this.#prefetch = wanted;
    this.#look = { at: now, count: ended };
    return wanted;
  }

  /**
   * Looked at now and then while more than `concurrency` are held: true when what waits here would take too
   * long. Then the prefetch is back at `concurrency`, and what waits should be given back.
   */
  mustFallBack(now: number, waiting: number, startedInAll: number): boolean {
    const [elapsed, started] = [now - this.#look.at, startedInAll - this.#look.count];
    this.#look = { at: now, count: startedInAll };
    if (this.#fixed || this.#prefetch <= this.#concurrency || waiting === 0) return false;
    const drainMs = started <= 0 ? Infinity : (waiting / started) * elapsed;
    if (drainMs <= TOO_LONG_MS) return false;
    this.#prefetch = this.#concurrency;
    this.#restsUntil = now + REST_MS;
    return true;
  }
}

interface Window {
  at: number;
  count: number;
}
