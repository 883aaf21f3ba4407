/** A throwaway channel to the memory server. */
import type { BindingSpec, ExchangeSpec, LinkSpec, QueueSpec } from '../../../topology/plan.ts';
import { type AdminChannel, AdminError, type PulledMessage, type QueueCounts } from '../broker.ts';
import { MemoryChannel } from './channel.ts';
import type { Faults } from './faults.ts';
import type { Link } from './link.ts';
import { deliveredProperties } from './message.ts';
import type { MemoryStore } from './store.ts';

export class MemoryAdminChannel implements AdminChannel {
  readonly #store: MemoryStore;
  readonly #channel: MemoryChannel;

  constructor(link: Link, store: MemoryStore, faults: Faults) {
    this.#store = store;
    this.#channel = new MemoryChannel(link, faults);
  }

  declareExchange(exchange: ExchangeSpec): Promise<void> {
    return this.#call(() => this.#store.declareExchange(exchange));
  }

  declareQueue(queue: QueueSpec): Promise<QueueCounts> {
    return this.#call(() => this.#store.declareQueue(queue));
  }

  bind(binding: BindingSpec): Promise<void> {
    return this.#call(() => this.#store.bind(binding));
  }

  link(link: LinkSpec): Promise<void> {
    return this.#call(() => this.#store.link(link));
  }

  checkExchange(name: string): Promise<void> {
    return this.#call(() => void (name === '' || this.#store.exchange(name)));
  }

  checkQueue(name: string): Promise<QueueCounts> {
    return this.#call(() => this.#store.queue(name).counts);
  }

  deleteQueue(name: string, options?: { ifEmpty?: boolean }): Promise<void> {
    return this.#call(() => this.#store.deleteQueue(name, options?.ifEmpty));
  }

  deleteExchange(name: string): Promise<void> {
    return this.#call(() => this.#store.deleteExchange(name));
  }

  get(queue: string): Promise<PulledMessage | undefined> {
    return this.#call(() => this.#pull(queue));
  }

  close(): void {
    this.#channel.close();
  }

  #pull(name: string): PulledMessage | undefined {
    const queue = this.#store.queue(name);
    const message = queue.take();
    if (!message) return undefined;
    const hold = this.#channel.hold(queue, message);
    return {
      body: Buffer.from(message.body),
      properties: deliveredProperties(message),
      redelivered: message.deliveries > 1,
      exchange: message.exchange,
      routingKey: message.routingKey,
      remaining: queue.counts.ready,
      ack: () => void hold.settle('ack'),
    };
  }

  /** A call that fails closes the channel, as RabbitMQ does; what was pulled on it goes back. */
  async #call<T>(call: () => T): Promise<T> {
    if (!this.#channel.isOpen) throw new AdminError('unavailable', 'the channel is closed');
    try {
      return call();
    } catch (error) {
      this.close();
      throw error;
    }
  }
}
