/** Deliveries that wait in this process for their turn, first come first served. */
import type { Delivery } from '../broker/broker.ts';

/** Used-up places are dropped in lots, so that taking the first stays cheap. */
const LOT = 1024;

export class Waiting {
  /** A place is emptied when it is used: what waits no longer must not be kept here with its body. */
  #deliveries: (Delivery | undefined)[] = [];
  #head = 0;

  get size(): number {
    return this.#deliveries.length - this.#head;
  }

  push(delivery: Delivery): void {
    this.#deliveries.push(delivery);
  }

  /** The first that the broker has not taken back meanwhile. */
  next(): Delivery | undefined {
    while (this.#head < this.#deliveries.length) {
      const delivery = this.#deliveries[this.#head] as Delivery;
      this.#deliveries[this.#head++] = undefined;
      if (this.#head > LOT && this.#head * 2 > this.#deliveries.length) this.#cut();
      if (delivery.live) return delivery;
    }
    return undefined;
  }

  /** Gives all of them back to their queue. `told` hears of each that went. */
  release(told?: (delivery: Delivery) => void): void {
    this.#cut();
    const deliveries = this.#deliveries;
    this.#deliveries = [];
    for (const delivery of deliveries) if (delivery?.release()) told?.(delivery);
  }

  /** Forgets those that the broker has taken back. */
  prune(): void {
    this.#cut();
    this.#deliveries = this.#deliveries.filter((delivery) => delivery?.live);
  }

  #cut(): void {
    this.#deliveries = this.#deliveries.slice(this.#head);
    this.#head = 0;
  }
}
