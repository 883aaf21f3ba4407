/** What the contract suite needs of a broker it tests, and the small world each of its tests lives in. */
import { randomBytes } from 'node:crypto';
import type {
  Broker,
  Delivery,
  Publication,
  QueueCounts,
  SubscribeOptions,
  Subscription,
  SubscriptionState,
} from '../../src/broker/broker.ts';
import { type Names, namesFor } from '../../topology/names.ts';
import { planTopology, type QueueSpec, type Topology } from '../../topology/plan.ts';
import { DELIVERY_LIMIT } from '../../topology/queues.ts';
import { until } from '../support/until.ts';

/** An implementation under test. All Broker objects of one subject reach the same server. */
export interface ContractSubject {
  /** A Broker object that is not connected yet. */
  create(): Promise<Broker>;
  /** Takes away all connections of a Broker object, and new ones, until `mend`. */
  cut(broker: Broker): Promise<void>;
  mend(broker: Broker): Promise<void>;
  /** Raises and ends a memory alarm, where that harms nobody else. */
  block?(reason: string): void;
  unblock?(): void;
  /** After the last test. */
  end(): Promise<void>;
}

export type Arguments = QueueSpec['arguments'];

/** Queue arguments that behave alike from 3.10 to 4.3. */
export const QUORUM: Arguments = { 'x-queue-type': 'quorum', 'x-delivery-limit': DELIVERY_LIMIT };

/** Names of its own, one connected Broker object, and an end that deletes and closes everything. */
export class World {
  readonly names: Names;
  readonly subject: ContractSubject;
  /** Connected, and never cut. */
  readonly #cleaner: Broker;
  broker!: Broker;
  readonly #brokers: Broker[] = [];
  readonly #queues = new Set<string>();
  readonly #exchanges = new Set<string>();

  constructor(subject: ContractSubject, cleaner: Broker) {
    this.subject = subject;
    this.#cleaner = cleaner;
    this.names = namesFor(`contract-${randomBytes(5).toString('hex')}`);
  }

  async begin(): Promise<void> {
    this.broker = await this.connected();
  }

  /** A Broker object that is closed with the world. */
  async create(): Promise<Broker> {
    const broker = await this.subject.create();
    this.#brokers.push(broker);
    return broker;
  }

  async connected(): Promise<Broker> {
    const broker = await this.create();
    await broker.connect({ timeout: 60_000 });
    return broker;
  }

  async end(): Promise<void> {
    // Closed first: a subscription that is still there would put back what is deleted.
    await Promise.all(this.#brokers.map((broker) => broker.close(0)));
    await this.#cleaner.admin(async (channel) => {
      for (const queue of this.#queues) await channel.deleteQueue(queue);
      for (const exchange of this.#exchanges) await channel.deleteExchange(exchange);
    });
  }

  /** To be deleted at the end; returns the full name. */
  named(name: string): string {
    const full = this.names.queue(name);
    this.#queues.add(full);
    this.#exchanges.add(full);
    return full;
  }

  /** A queue, with a direct exchange of the same name in front whose key is that name too. */
  async queue(name: string, args: Arguments = {}): Promise<string> {
    const full = this.named(name);
    await this.broker.admin(async (channel) => {
      await channel.declareExchange({ name: full, type: 'direct', arguments: {} });
      await channel.declareQueue({ name: full, arguments: { ...QUORUM, ...args } });
      await channel.bind({ exchange: full, queue: full, routingKey: full });
    });
    return full;
  }

  /** What a plan says, declared as `topology apply` would. */
  async topology(queues: string[], delays: number[], { levels = false } = {}): Promise<Topology> {
    const wanted = queues.map((name) => ({ name }));
    const topology = planTopology({ names: this.names, queues: wanted, delays, levels });
    await this.broker.admin(async (channel) => {
      for (const exchange of topology.exchanges) await channel.declareExchange(exchange);
      for (const queue of topology.queues) await channel.declareQueue(queue);
      for (const link of topology.links ?? []) await channel.link(link);
      for (const binding of topology.bindings) await channel.bind(binding);
    });
    for (const { name } of topology.queues) this.#queues.add(name);
    for (const { name } of topology.exchanges) this.#exchanges.add(name);
    return topology;
  }

  async publish(queue: string, ...bodies: string[]): Promise<void> {
    await Promise.all(bodies.map((body) => this.broker.publish(message(queue, body))));
  }

  counts(queue: string): Promise<QueueCounts> {
    return this.broker.admin((channel) => channel.checkQueue(queue));
  }

  /** Resolves when passive declaring says so, which may say 0 of what is slow to answer: whether a queue is empty, `drain` tells. */
  async untilCounts(queue: string, wanted: Partial<QueueCounts>): Promise<void> {
    let last: QueueCounts | undefined;
    const fits = async () => {
      last = await this.counts(queue);
      return Object.entries(wanted).every(([key, value]) => last?.[key as keyof QueueCounts] === value);
    };
    await until(fits, { what: `${queue} to show ${JSON.stringify(wanted)}` }).catch((error: Error) => {
      throw new Error(`${error.message}, ${JSON.stringify(last)}`);
    });
  }

  /** Bodies from the head of a queue, acked; as many as there are. */
  async drain(queue: string): Promise<string[]> {
    await until(() => this.broker.status.connected, { what: 'the connections' });
    return this.broker.admin(async (channel) => {
      const bodies: string[] = [];
      for (let pulled = await channel.get(queue); pulled; pulled = await channel.get(queue)) {
        bodies.push(pulled.body.toString());
        pulled.ack();
      }
      return bodies;
    });
  }

  inbox(queue: string, options: Partial<SubscribeOptions> = {}, broker = this.broker): Inbox {
    return new Inbox(broker, queue, options);
  }
}

/** A message to the exchange that `World.queue` puts in front of a queue. */
export function message(queue: string, body: string, id = body): Publication {
  return {
    exchange: queue,
    routingKey: queue,
    body: Buffer.from(body),
    properties: { messageId: id, headers: {} },
  };
}

/** A subscription with all that it was told. */
export class Inbox {
  readonly deliveries: Delivery[] = [];
  readonly states: SubscriptionState[] = [];
  readonly subscription: Subscription;

  constructor(broker: Broker, queue: string, options: Partial<SubscribeOptions>) {
    this.subscription = broker.subscribe(queue, {
      prefetch: 100,
      onDelivery: (delivery) => void this.deliveries.push(delivery),
      onState: (state) => void this.states.push(state),
      ...options,
    });
  }

  get bodies(): string[] {
    return this.deliveries.map(({ body }) => body.toString());
  }

  get lastState(): string | undefined {
    return this.states.at(-1)?.state;
  }

  at(index: number): Delivery {
    const delivery = this.deliveries[index];
    if (!delivery) throw new Error(`no delivery ${index}, there are ${this.deliveries.length}`);
    return delivery;
  }

  /** The deliveries from `from` to `from + count`, once they are there. */
  async next(count: number, from = 0): Promise<Delivery[]> {
    await until(() => this.deliveries.length >= from + count, {
      what: `${from + count} deliveries of ${this.subscription.queue}`,
    }).catch((error: Error) => {
      throw new Error(`${error.message} (there are ${this.deliveries.length}: ${this.bodies})`);
    });
    return this.deliveries.slice(from, from + count);
  }

  async attached(): Promise<void> {
    await until(() => this.subscription.attached, { what: `a consumer of ${this.subscription.queue}` });
  }
}
