/** What is taken from the broker and not begun yet, and how much of it is held. */
import type { Delivery } from '../broker/broker.ts';
import { Pace } from './pace.ts';
import { Waiting } from './waiting.ts';

const LOOK_EVERY_MS = 50;
const MOST_REMEMBERED = 10_000;

export class Intake {
  readonly #pace: Pace;
  readonly #waiting = new Waiting();
  /** They wait for a seat of their own kind, so that nobody waits behind them. */
  readonly #suspects = new Waiting();
  readonly #setPrefetch: (count: number) => void;
  readonly #givenBack = new Map<string, number>();
  #begun = 0;
  #look: NodeJS.Timeout | undefined;

  constructor(concurrency: number, prefetch: number | 'auto', setPrefetch: (count: number) => void) {
    this.#pace = new Pace(concurrency, prefetch);
    this.#setPrefetch = setPrefetch;
  }

  get prefetch(): number {
    return this.#pace.prefetch;
  }

  /** How often this process gave it back unbegun: RabbitMQ before 4.3 counts that as it counts a crash. */
  givenBack(id: string | undefined): number {
    return this.#givenBack.get(id ?? '') ?? 0;
  }

  push(delivery: Delivery): void {
    this.#waiting.push(delivery);
  }

  pushSuspect(delivery: Delivery): void {
    this.#suspects.push(delivery);
  }

  /** The next to begin. */
  next(): Delivery | undefined {
    return this.#begin(this.#waiting.next());
  }

  nextSuspect(): Delivery | undefined {
    return this.#begin(this.#suspects.next());
  }

  #begin(delivery: Delivery | undefined): Delivery | undefined {
    if (delivery) this.#begun += 1;
    return delivery;
  }

  /** The channel is gone, and what was held with it. */
  lost(): void {
    this.#waiting.prune();
    this.#suspects.prune();
  }

  /** A job has ended, `running` have not: holds more where they end so fast that they wait for the broker. */
  adjust(running: number): void {
    if (this.#waiting.size > 0) return;
    const prefetch = this.#pace.raise(performance.now(), this.#begun - running);
    if (prefetch === undefined) return;
    this.#setPrefetch(prefetch);
    this.#look ??= setInterval(() => this.#fallBack(), LOOK_EVERY_MS).unref();
  }

  /** Gives back what was not begun. */
  stop(): void {
    this.#holdLess();
    this.#suspects.release();
  }

  /** Suspects stay: on brokers that count what is given back they would only look worse. */
  #holdLess(): void {
    clearInterval(this.#look);
    this.#look = undefined;
    this.#waiting.release(({ properties: { messageId } }) => this.#remember(messageId));
  }

  #remember(id: string | undefined): void {
    if (id === undefined) return;
    if (this.#givenBack.size >= MOST_REMEMBERED) this.#givenBack.clear();
    this.#givenBack.set(id, this.givenBack(id) + 1);
  }

  #fallBack(): void {
    if (!this.#pace.mustFallBack(performance.now(), this.#waiting.size, this.#begun)) return;
    this.#setPrefetch(this.#pace.prefetch);
    this.#holdLess();
  }
}
