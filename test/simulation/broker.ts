/** The broker contract, by warren's own publisher and consumer on simulated connections. */
import type {
  Broker,
  BrokerStatus,
  Publication,
  PublishOptions,
  SubscribeOptions,
  Subscription,
} from '../../src/broker/broker.ts';
import { Consumer } from '../../src/broker/consumer.ts';
import { Publisher } from '../../src/broker/publisher.ts';
import { ClientConnection } from './client-connection.ts';
import type { Owner } from './scheduler.ts';
import type { Server } from './server.ts';

const GOODBYE_MS = 2000;
const SHORTEST_GOODBYE_MS = 100;

/** Wired as src/broker/rabbitmq.ts wires them. */
export class SimulatedBroker implements Broker {
  readonly publishing: ClientConnection;
  readonly consuming: ClientConnection;
  readonly #publisher: Publisher;
  readonly #random: () => number;

  constructor(owner: Owner, server: Server, maxInFlight: number) {
    this.#random = server.random.next;
    this.publishing = new ClientConnection('publishing', owner, server);
    this.consuming = new ClientConnection('consuming', owner, server);
    this.#publisher = new Publisher({
      connection: this.publishing.asConnection,
      maxInFlight,
      random: this.#random,
    });
  }

  get status(): BrokerStatus {
    return { connected: this.publishing.isUp && this.consuming.isUp };
  }

  /** As after the first connection: opened, and waited for by nobody. */
  async connect({ roles = ['publishing', 'consuming'] }: Partial<Parameters<Broker['connect']>[0]> = {}) {
    for (const role of roles) this[role].open();
  }

  publish(publication: Publication, options?: PublishOptions): Promise<void> {
    return this.#publisher.publish(publication, options);
  }

  subscribe(queue: string, options: SubscribeOptions): Subscription {
    return new Consumer(queue, options, {
      connection: this.consuming.asConnection,
      random: this.#random,
      onStale: () => {},
    });
  }

  admin(): Promise<never> {
    return Promise.reject(new Error('nothing here administers'));
  }

  async close(timeout: number): Promise<void> {
    const until = performance.now() + timeout;
    await this.#publisher.close(timeout);
    const goodbye = Math.max(SHORTEST_GOODBYE_MS, Math.min(GOODBYE_MS, until - performance.now()));
    await Promise.all([this.publishing.close(goodbye), this.consuming.close(goodbye)]);
  }

  on(): () => void {
    return () => {};
  }
}
