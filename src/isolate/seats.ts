/** How many suspects may run at once in this process, whatever queue they come from. */
export class Seats {
  readonly #most: number;
  readonly #waiting = new Set<() => void>();
  #taken = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get free(): boolean {
    return this.#taken < this.#most;
  }

  take(): void {
    this.#taken += 1;
  }

  giveBack(): void {
    this.#taken -= 1;
    for (const tell of this.#waiting) tell();
  }

  /** Called whenever a seat is given back. Returns the function that ends it. */
  onFree(tell: () => void): () => void {
    this.#waiting.add(tell);
    return () => void this.#waiting.delete(tell);
  }
}
