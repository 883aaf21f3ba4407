import { OwnTimer } from '../run/own-timer.ts';
import type { Buried } from './letter.ts';

const ATTACH_MS = 10_000;
/** A broker at work on something else may be silent for a while, too. */
const SILENCE_MS = 5_000;
/** What a message costs beside its body: about 130 MB were seen for 20,000 small ones, half of it before the first. */
const BYTES_AROUND = 3_000;

/** How much all consumers of one walk may hold together. */
export class Budget {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  get isSpent(): boolean {
    return this.#left <= 0;
  }

  take({ body }: Buried): void {
    this.#left -= body.length + BYTES_AROUND;
  }

  giveBack({ body }: Buried): void {
    this.#left += body.length + BYTES_AROUND;
  }
}

/**
 * Deliveries that wait to be looked at. It ends by a silence: another operator may have taken what was counted.
 * `whenFull` is called once, when the budget is spent and no more should come.
 */
export class Inbox {
  readonly #whenFull: () => void;
  readonly #waiting: Buried[] = [];
  readonly #budget: Budget;
  #full = false;
  #patience = ATTACH_MS;
  #failure: Error | undefined;
  /** What has arrived while this process stood still is read before the time is up. */
  #timer: OwnTimer | undefined;
  #wake: () => void = () => {};

  constructor(budget: Budget, whenFull: () => void) {
    this.#budget = budget;
    this.#whenFull = whenFull;
  }

  /** From now on messages should come. */
  open(): void {
    this.#patience = SILENCE_MS;
    if (this.#timer) this.#wait();
  }

  put(message: Buried): void {
    this.#budget.take(message);
    this.#waiting.push(message);
    this.#wake();
    if (this.#full || !this.#budget.isSpent) return;
    this.#full = true;
    this.#whenFull();
  }

  /** No more is handed on. */
  end(): void {
    this.#full = true;
    this.#waiting.length = 0;
    this.#wake();
  }

  fail(why: Error): void {
    this.#failure ??= why;
    this.#wake();
  }

  /** Undefined when there is no more. */
  async next(): Promise<Buried | undefined> {
    if (this.#waiting.length === 0 && !this.#failure && !this.#full) await this.#something();
    if (this.#failure) throw this.#failure;
    return this.#waiting.shift();
  }

  #something(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#timer?.clear();
        this.#timer = undefined;
        resolve();
      };
      this.#wait();
    });
  }

  #wait(): void {
    this.#timer?.clear();
    this.#timer = new OwnTimer(this.#patience, () => this.#wake());
  }
}
