import type { Stored } from './message.ts';

/**
 * What a queue can hand out, in order. A classic queue puts back what is returned at its own place; a quorum
 * queue hands out what was returned first of all, in the order of the returns (measured on 3.10 and 4.3).
 */
export class ReadyList {
  readonly #keepsPlaces: boolean;
  #returned: Stored[] = [];
  #items: Stored[] = [];
  /** Items before it are gone: cheaper than moving up a long array for each message. */
  #first = 0;

  constructor(keepsPlaces: boolean) {
    this.#keepsPlaces = keepsPlaces;
  }

  get length(): number {
    return this.#returned.length + this.#items.length - this.#first;
  }

  get head(): Stored | undefined {
    return this.#returned[0] ?? this.#items[this.#first];
  }

  get all(): Stored[] {
    return [...this.#returned, ...this.#items.slice(this.#first)];
  }

  push(message: Stored): void {
    this.#items.push(message);
  }

  shift(): Stored | undefined {
    if (this.#returned.length > 0) return this.#returned.shift();
    const message = this.#items[this.#first];
    if (message) this.#first++;
    if (this.#first > 1000 && this.#first * 2 > this.#items.length) this.#tidy();
    return message;
  }

  putBack(message: Stored): void {
    if (!this.#keepsPlaces) {
      this.#returned.push(message);
      return;
    }
    this.#tidy();
    const at = this.#items.findIndex(({ place }) => place > message.place);
    this.#items.splice(at < 0 ? this.#items.length : at, 0, message);
  }

  #tidy(): void {
    this.#items = this.#items.slice(this.#first);
    this.#first = 0;
  }
}
