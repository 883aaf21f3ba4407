/** A timer for the time that a job has had, not for the time that has passed. */

/** A timer that is later than this (ms) was not waited for by anybody: the process was paused, or its event loop stuck. */
const LOST_MS = 1000;

/**
 * Calls once `ms` have passed in which this process ran. What it lost (SIGSTOP, a laptop's sleep, a neighbour that
 * blocked the event loop) is waited for again, up to `ms` at a time: a paused worker spends no attempt, and the
 * loss of its connection, if that was the price, is heard of before the timer.
 */
export class OwnTimer {
  readonly #ms: number;
  readonly #call: () => void;
  #timer: NodeJS.Timeout | undefined;
  #dueAt = 0;

  constructor(ms: number, call: () => void) {
    this.#ms = ms;
    this.#call = call;
    this.#wait(ms);
  }

  clear(): void {
    clearTimeout(this.#timer);
  }

  #wait(ms: number): void {
    this.#dueAt = performance.now() + ms;
    this.#timer = setTimeout(() => this.#fire(), ms);
  }

  #fire(): void {
    const lost = performance.now() - this.#dueAt;
    if (lost > LOST_MS) this.#wait(Math.min(lost, this.#ms));
    else this.#call();
  }
}
