/** First in, first out, without moving the rest at each step as `Array.shift` does. */
export class Fifo<T> implements Iterable<T> {
  /** A place is emptied when it is used: what has left must not be kept here, bodies and all. */
  #items: (T | undefined)[] = [];
  #first = 0;

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    const item = this.#items[this.#first];
    if (this.#first === this.#items.length) return undefined;
    this.#items[this.#first++] = undefined;
    if (this.#first === this.#items.length) this.#keep([]);
    else if (this.#first > 1024 && this.#first * 2 > this.#items.length)
      this.#keep(this.#items.slice(this.#first));
    return item;
  }

  /** Puts these in front of all others, in their order. */
  putBack(items: readonly T[]): void {
    this.#keep([...items, ...this]);
  }

  drop(unwanted: (item: T) => boolean): void {
    this.#keep([...this].filter((item) => !unwanted(item)));
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let index = this.#first; index < this.#items.length; index++) yield this.#items[index] as T;
  }

  #keep(items: (T | undefined)[]): void {
    this.#items = items;
    this.#first = 0;
  }
}
