/** A channel: what is held on it goes back to its queue when it closes. */
import type { Faults } from './faults.ts';
import type { Link } from './link.ts';
import type { Stored } from './message.ts';
import type { MemoryQueue } from './queue.ts';

/** How a message leaves the channel that holds it. */
export type Settlement = 'ack' | 'putBack' | 'reject';

export class MemoryChannel {
  readonly #link: Link;
  readonly #faults: Faults;
  readonly #held = new Set<Hold>();
  #open = true;
  #unsettled = 0;

  constructor(link: Link, faults: Faults) {
    this.#link = link;
    this.#faults = faults;
    link.channels.add(this);
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Messages held and not settled yet. */
  get unsettled(): number {
    return this.#unsettled;
  }

  /** True when the broker has heard of every settlement made here. */
  get allSent(): boolean {
    return this.#unsettled === this.#held.size;
  }

  hold(queue: MemoryQueue, message: Stored): Hold {
    const hold = new Hold(this, queue, message);
    this.#held.add(hold);
    this.#unsettled++;
    return hold;
  }

  settle(hold: Hold, how: Settlement): void {
    this.#unsettled--;
    if (how === 'ack' && this.#faults.takeLostAck()) return;
    this.#held.delete(hold);
    hold.queue[how](hold.message);
  }

  /** In the order in which they were handed out, as RabbitMQ does. */
  close(): void {
    this.#open = false;
    this.#link.channels.delete(this);
    for (const { queue, message } of this.#held) queue.putBack(message);
    this.#held.clear();
  }
}

/** One message held on one channel. */
export class Hold {
  readonly queue: MemoryQueue;
  readonly message: Stored;
  readonly #channel: MemoryChannel;
  #settled = false;

  constructor(channel: MemoryChannel, queue: MemoryQueue, message: Stored) {
    this.#channel = channel;
    this.queue = queue;
    this.message = message;
  }

  /** It can still be settled. */
  get live(): boolean {
    return !this.#settled && this.#channel.isOpen;
  }

  get settled(): boolean {
    return this.#settled;
  }

  /** Once, and only while its channel is open; false otherwise. */
  settle(how: Settlement): boolean {
    if (!this.live) return false;
    this.#settled = true;
    this.#channel.settle(this, how);
    return true;
  }
}
