/** RabbitMQ, as far as a client can tell: the memory broker's queues and exchanges behind channels of AMQP. */
import type { MessageProperties, Publication } from '../../src/broker/broker.ts';
import type { Letter } from '../../src/broker/memory/message.ts';
import type { PublishAnswer } from '../../src/broker/memory/store.ts';
import { MemoryStore } from '../../src/broker/memory/store.ts';
import type { Topology } from '../../topology/plan.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import type { ServerLink } from './server-link.ts';

/** What the server tells whoever watches it. */
export interface Watcher {
  /** A settlement of a delivery that is not out on that channel. */
  strayed(what: string): void;
  /** A message has left its queue for good. */
  removed(properties: MessageProperties, how: string, queue: string): void;
  /** `what` is asked for only where somebody reads it. */
  trace(what: () => string): void;
}

/** Faults that were ordered and did not happen yet. */
interface Orders {
  /** Publications that are answered with basic.nack. */
  refuse: number;
  /** Dead letters that arrive twice, as at-least-once allows. */
  double: number;
  /** Deliveries that later ones overtake. */
  holdBack: number;
}

export class Store extends MemoryStore {
  readonly #orders: Orders;

  constructor(scheduler: Scheduler, orders: Orders) {
    super(
      {
        now: () => scheduler.wall,
        setTimeout: (call, ms) => scheduler.after(undefined, ms, call),
        clearTimeout: (timer) => (timer as { cancel(): void } | undefined)?.cancel(),
      },
      (call) => void scheduler.after(undefined, 0, call),
    );
    this.#orders = orders;
  }

  override publish(publication: Publication): PublishAnswer {
    if (this.#orders.refuse === 0) return super.publish(publication);
    this.#orders.refuse--;
    return 'refused';
  }

  override sendDead(letter: Letter): boolean {
    const sent = super.sendDead(letter);
    if (sent && this.#orders.double > 0) {
      this.#orders.double--;
      super.sendDead(letter);
    }
    return sent;
  }
}

export class Server {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly watcher: Watcher;
  readonly orders: Orders = { refuse: 0, double: 0, holdBack: 0 };
  readonly store: Store;
  readonly links = new Set<ServerLink>();
  readonly #topology: Topology;
  #up = true;
  #alarm: string | undefined;

  constructor(scheduler: Scheduler, random: Random, watcher: Watcher, topology: Topology) {
    this.scheduler = scheduler;
    this.random = random;
    this.watcher = watcher;
    this.store = new Store(scheduler, this.orders);
    this.#topology = topology;
    this.declare();
  }

  get isUp(): boolean {
    return this.#up;
  }

  get alarm(): string | undefined {
    return this.#alarm;
  }

  /** Puts back what is missing of the plan. */
  declare(): void {
    for (const exchange of this.#topology.exchanges) this.store.declareExchange(exchange);
    for (const queue of this.#topology.queues) this.store.declareQueue(queue);
    for (const link of this.#topology.links ?? []) this.store.link(link);
    for (const binding of this.#topology.bindings) this.store.bind(binding);
  }

  /** So many more times. */
  order(what: keyof Orders, count: number): void {
    this.orders[what] += count;
  }

  hasExchange(name: string): boolean {
    return this.store.exchangeNames.includes(name);
  }

  /** Everything in every queue: ready, out with a consumer, or on its way to be dead-lettered. */
  *everything(): Generator<{ queue: string; state: string; letter: Letter }> {
    for (const queue of this.store.queueNames) {
      const { ready, unacked, deadLettering } = this.store.queue(queue).contents;
      for (const letter of ready) yield { queue, state: 'ready', letter };
      for (const letter of unacked) yield { queue, state: 'unacked', letter };
      for (const letter of deadLettering) yield { queue, state: 'dead-lettering', letter };
    }
  }

  holds(id: string | undefined): boolean {
    for (const { letter } of this.everything()) if (letter.properties.messageId === id) return true;
    return false;
  }

  /** A memory alarm: nothing more is read from connections that publish. */
  setAlarm(reason: string | undefined): void {
    if (this.#alarm === reason) return;
    this.#alarm = reason;
    for (const link of this.links) link.tellAlarm();
  }

  /** The node goes down and keeps what it has: all its queues are durable. */
  stop(): void {
    this.#up = false;
    for (const link of [...this.links]) link.lose();
  }

  start(): void {
    this.#up = true;
  }
}
