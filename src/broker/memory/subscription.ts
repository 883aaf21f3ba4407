/** A consumer on the memory server that attaches again by itself. */
import { readDeliveryCount } from '../../core/headers.ts';
import type { MessageProperties } from '../../core/message.ts';
import type { Delivery, SubscribeOptions, Subscription } from '../broker.ts';
import { type Hold, MemoryChannel } from './channel.ts';
import type { Clock } from './clock.ts';
import type { Faults } from './faults.ts';
import type { Link } from './link.ts';
import { deliveredProperties, type Stored } from './message.ts';
import type { Consumer, MemoryQueue } from './queue.ts';
import type { MemoryStore } from './store.ts';

const AGAIN_AFTER_MS = 100;

export interface SubscriptionResources {
  link: Link;
  store: MemoryStore;
  faults: Faults;
  clock: Clock;
  stale(queue: string): void;
}

export class MemorySubscription implements Subscription, Consumer {
  readonly queue: string;
  readonly #options: SubscribeOptions;
  readonly #it: SubscriptionResources;
  readonly #unwatch: () => void;
  #prefetch: number;
  #from: MemoryQueue | undefined;
  #channel: MemoryChannel | undefined;
  #stopped = false;
  #closed = false;
  #retry: unknown;

  constructor(queue: string, options: SubscribeOptions, resources: SubscriptionResources) {
    this.queue = queue;
    this.#options = options;
    this.#it = resources;
    this.#prefetch = options.prefetch;
    this.#unwatch = resources.link.watch({
      up: () => this.#attach(),
      down: (reason) => this.#detached(reason),
    });
    // Nobody is called before they hold what `subscribe` returns.
    resources.store.defer(() => this.#attach());
  }

  get attached(): boolean {
    return this.#from !== undefined && this.#channel?.isOpen === true;
  }

  /** As in AMQP, 0 is no limit. */
  get hungry(): boolean {
    const { unsettled = 0 } = this.#channel ?? {};
    return this.attached && (this.#prefetch === 0 || unsettled < this.#prefetch);
  }

  setPrefetch(count: number): void {
    this.#prefetch = count;
    this.#from?.look();
  }

  take(message: Stored): void {
    const channel = this.#channel as MemoryChannel;
    const hold = channel.hold(this.#from as MemoryQueue, message);
    this.#options.onDelivery(new MemoryDelivery(hold, () => this.#it.stale(this.queue)));
  }

  cancelled(reason: string): void {
    this.#channel?.close();
    this.#detached(reason);
    this.#attach();
  }

  /** The broker closes the channel, as it does when an ack takes too long. */
  interrupt(reason: string): void {
    this.cancelled(reason);
  }

  async cancel(_timeout: number): Promise<void> {
    this.#stop();
  }

  async close(_timeout: number): Promise<boolean> {
    if (this.#closed) return true;
    this.#closed = true;
    this.#stop();
    this.#unwatch();
    const allSent = this.#channel?.allSent ?? true;
    this.#channel?.close();
    this.#channel = undefined;
    return allSent;
  }

  leave(): void {
    void this.close(0);
  }

  #stop(): void {
    this.#stopped = true;
    this.#it.clock.clearTimeout(this.#retry);
    this.#leave();
  }

  #leave(): void {
    this.#from?.removeConsumer(this);
    this.#from = undefined;
  }

  #attach(): void {
    const { link, store, faults } = this.#it;
    if (this.#stopped || this.attached || this.#retry !== undefined || !link.isOpen) return;
    const from = store.find(this.queue);
    if (!from) {
      this.#missing();
      return;
    }
    this.#channel = new MemoryChannel(link, faults);
    this.#from = from;
    from.addConsumer(this);
    this.#options.onState?.({ state: 'attached' });
  }

  #detached(reason: string): void {
    if (!this.#channel) return;
    this.#channel = undefined;
    this.#leave();
    this.#options.onState?.({ state: 'detached', reason });
  }

  #missing(): void {
    this.#options.onState?.({
      state: 'detached',
      reason: `NOT_FOUND - no queue '${this.queue}' in vhost '/'`,
    });
    this.#retry = this.#it.clock.setTimeout(() => void this.#askThenAttach(), AGAIN_AFTER_MS);
  }

  async #askThenAttach(): Promise<void> {
    try {
      if (this.#it.link.isOpen) await this.#options.onMissing?.();
    } catch {
      // Whoever declares says what went wrong; here it only means that the queue may still be missing.
    }
    this.#retry = undefined;
    this.#attach();
  }
}

class MemoryDelivery implements Delivery {
  readonly body: Buffer;
  readonly properties: MessageProperties;
  readonly redelivered: boolean;
  readonly exchange: string;
  readonly routingKey: string;
  readonly #hold: Hold;
  readonly #tooLate: () => void;

  constructor(hold: Hold, tooLate: () => void) {
    const { message } = hold;
    this.body = Buffer.from(message.body);
    this.properties = deliveredProperties(message);
    this.redelivered = message.deliveries > 1;
    this.exchange = message.exchange;
    this.routingKey = message.routingKey;
    this.#hold = hold;
    this.#tooLate = tooLate;
  }

  get live(): boolean {
    return this.#hold.live;
  }

  get deliveryCount(): number | undefined {
    return readDeliveryCount(this.properties);
  }

  ack(): boolean {
    return this.#settle('ack');
  }

  release(): boolean {
    return this.#settle('putBack');
  }

  reject(): boolean {
    return this.#settle('reject');
  }

  #settle(how: 'ack' | 'putBack' | 'reject'): boolean {
    if (this.#hold.settled) return false;
    const settled = this.#hold.settle(how);
    if (!settled) this.#tooLate();
    return settled;
  }
}
