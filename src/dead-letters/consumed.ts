import { AdminError, type Subscription } from '../broker/broker.ts';
import { type Budget, Inbox } from './inbox.ts';
import type { Buried } from './letter.ts';
import { type DeadQueue, fullName, lost } from './place.ts';

const CLOSE_MS = 10_000;

/** What one consumer holds, at most `size` messages at once. */
export class Consumed {
  readonly #place: DeadQueue;
  readonly #size: number;
  readonly #inbox: Inbox;
  readonly #subscription: Subscription;
  #held = 0;

  constructor(place: DeadQueue, size: number, budget: Budget) {
    this.#place = place;
    this.#size = size;
    this.#inbox = new Inbox(budget, () => void this.stop());
    this.#subscription = subscribe(place, size, this.#inbox);
  }

  /** The broker gives it no more. */
  get isFull(): boolean {
    return this.#held >= this.#size;
  }

  /** @throws AdminError */
  async next(): Promise<Buried | undefined> {
    const message = await this.#inbox.next();
    if (message) this.#held++;
    return message;
  }

  settled(): void {
    this.#held--;
  }

  /** Whoever waits for a message gets none. */
  giveUp(): void {
    this.#inbox.end();
  }

  /** Takes no more, and holds what it has. */
  stop(): Promise<void> {
    return this.#subscription.cancel(CLOSE_MS);
  }

  /** @throws AdminError when it is not sure that all that was settled has reached the broker */
  async leave(): Promise<void> {
    if (!(await this.#subscription.close(CLOSE_MS))) throw lost(this.#place);
  }
}

function subscribe(place: DeadQueue, prefetch: number, inbox: Inbox): Subscription {
  const queue = fullName(place);
  let attached = false;
  return place.broker.subscribe(queue, {
    prefetch,
    onDelivery: (delivery) => inbox.put(delivery),
    onState: ({ state }) => {
      if (attached && state === 'detached') inbox.fail(lost(place));
      attached = state === 'attached';
      if (attached) inbox.open();
    },
    onMissing: async () => inbox.fail(new AdminError('missing', `queue '${queue}' is gone`)),
  });
}
