/**
 * At-least-once dead-lettering of one queue, with its trap: RabbitMQ's worker has 32 messages under way,
 * each until every target has confirmed it, and looks again at those that found no way only after 180 s.
 * So 32 unroutable messages hold up all behind them.
 * https://www.rabbitmq.com/docs/quorum-queues#activating-at-least-once-dead-lettering
 */
import type { Clock } from './clock.ts';
import type { Letter } from './message.ts';

export const UNDER_WAY = 32;
export const RETRY_MS = 180_000;

export class DeadLetters {
  readonly #clock: Clock;
  readonly #send: (letter: Letter) => boolean;
  readonly #stuck = new Map<Letter, unknown>();
  #waiting: Letter[] = [];

  /** `send` returns true when every queue it routed to took the letter. */
  constructor(clock: Clock, send: (letter: Letter) => boolean) {
    this.#clock = clock;
    this.#send = send;
  }

  get count(): number {
    return this.#stuck.size + this.#waiting.length;
  }

  get letters(): Letter[] {
    return [...this.#stuck.keys(), ...this.#waiting];
  }

  add(letter: Letter): void {
    this.#waiting.push(letter);
    this.#work();
  }

  /** The queue is deleted, and these with it. */
  clear(): void {
    for (const timer of this.#stuck.values()) this.#clock.clearTimeout(timer);
    this.#stuck.clear();
    this.#waiting = [];
  }

  #work(): void {
    while (this.#stuck.size < UNDER_WAY) {
      const letter = this.#waiting.shift();
      if (!letter) return;
      this.#try(letter);
    }
  }

  #try(letter: Letter): void {
    this.#stuck.delete(letter);
    if (!this.#send(letter))
      this.#stuck.set(
        letter,
        this.#clock.setTimeout(() => this.#again(letter), RETRY_MS),
      );
  }

  #again(letter: Letter): void {
    this.#try(letter);
    this.#work();
  }
}
