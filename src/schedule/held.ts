/** What one reign holds of the queue `schedules`: tables and charges, unacked, each by its copy; and what it waits for. */
import type { Delivery } from '../broker/broker.ts';
import type { Message } from './messages.ts';

/** How long a message may take to the broker and back. */
export const ECHO_MS = 30_000;

export type Kept = Exclude<Message, { kind: 'call' | 'unknown' }>;

interface Waiter {
  resolve(): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

export class Held {
  readonly #held = new Map<string, { message: Kept; delivery: Delivery }>();
  readonly #expected = new Map<string, Waiter>();
  #over = false;

  get messages(): Kept[] {
    return [...this.#held.values()].map(({ message }) => message);
  }

  has(copy: string): boolean {
    return this.#held.has(copy);
  }

  awaits(copy: string): boolean {
    return this.#expected.has(copy);
  }

  keep(message: Kept, delivery: Delivery): void {
    this.#held.set(message.copy, { message, delivery });
    this.#answer(message.copy)?.resolve();
  }

  /** Resolves when this copy comes; rejects after ECHO_MS, and when it is over. */
  expect(copy: string): Promise<void> {
    if (this.#over) return Promise.reject(new Error('it is over'));
    return new Promise((resolve, reject) => {
      const late = () =>
        this.#answer(copy)?.reject(new Error(`a message did not come back within ${ECHO_MS} ms`));
      this.#expected.set(copy, { resolve, reject, timer: setTimeout(late, ECHO_MS).unref() });
    });
  }

  /** Whoever waits for it, who waits no more. */
  #answer(copy: string): Waiter | undefined {
    const waiter = this.#expected.get(copy);
    clearTimeout(waiter?.timer);
    this.#expected.delete(copy);
    return waiter;
  }

  /** Lets a charge go. @throws when it is no longer held */
  reject(copy: string): void {
    if (!this.#held.get(copy)?.delivery.reject())
      throw new Error('a tick was no longer held when it was due');
    this.#held.delete(copy);
  }

  /** Takes it away for good. */
  drop(copy: string): void {
    this.#held.get(copy)?.delivery.ack();
    this.#held.delete(copy);
  }

  dropTables(but: string): void {
    for (const { kind, copy } of this.messages) if (kind === 'table' && copy !== but) this.drop(copy);
  }

  /** Gives all back, and resolves when all have come again. */
  async renew(): Promise<void> {
    const all = [...this.#held];
    const back = all.map(([copy]) => this.expect(copy));
    this.#held.clear();
    for (const [, { delivery }] of all) delivery.release();
    await Promise.all(back);
  }

  end(reason: string): void {
    this.#over = true;
    for (const copy of [...this.#expected.keys()]) this.#answer(copy)?.reject(new Error(reason));
    this.#held.clear();
  }
}
