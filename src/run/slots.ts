/** How many jobs of one queue run at once. */
export class Slots {
  readonly #count: number;
  #busy = 0;
  #whenIdle: (() => void) | undefined;

  constructor(count: number) {
    this.#count = count;
  }

  get busy(): number {
    return this.#busy;
  }

  get free(): boolean {
    return this.#busy < this.#count;
  }

  /** A settlement that is owed takes one more than there are. */
  take(): void {
    this.#busy += 1;
  }

  giveBack(): void {
    this.#busy -= 1;
  }

  /** To be called when nothing takes a given-back slot at once. */
  tell(): void {
    if (this.#busy === 0) this.#whenIdle?.();
  }

  /** Resolves when all are free, at the latest at `moment` (of performance.now()). */
  idleBy(moment: number): Promise<void> {
    if (this.#busy === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(0, moment - performance.now()));
      this.#whenIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
