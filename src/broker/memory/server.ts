/** One broker in memory. Several Broker objects can use it, as a client and its workers do. */
import type { Topology } from '../../../topology/plan.ts';
import type { MessageProperties } from '../broker.ts';
import { MemoryBroker } from './broker.ts';
import { type Clock, clientClock, serverClock } from './clock.ts';
import { Faults, type PublishFault } from './faults.ts';
import { deliveredProperties, type Letter, type Stored } from './message.ts';
import { type Defer, MemoryStore } from './store.ts';

export interface MemoryOptions {
  /** Where time comes from, default the machine. With a clock of your own no timer of Node's is used. */
  clock?: Clock | undefined;
}

/** A message on the server, as a test looks at it. */
export interface MemoryMessage {
  /** `ready`, held by a consumer, or dead-lettered and without a way yet. */
  state: 'ready' | 'unacked' | 'dead-lettering';
  body: Buffer;
  properties: MessageProperties;
  exchange: string;
  routingKey: string;
}

export class MemoryServer {
  /** @internal */
  readonly store: MemoryStore;
  /** @internal */
  readonly faults = new Faults();
  /** @internal what publishers and subscriptions wait by */
  readonly clientClock: Clock;
  readonly #brokers = new Set<MemoryBroker>();
  #blockedBy: string | undefined;
  #stopped = false;

  constructor({ clock }: MemoryOptions = {}) {
    this.clientClock = clock ?? clientClock;
    this.store = new MemoryStore(clock ?? serverClock, deferFor(clock));
  }

  /** Another Broker object on this server, with connections of its own. */
  broker(): MemoryBroker {
    const broker = new MemoryBroker(this);
    this.#brokers.add(broker);
    if (this.#stopped) broker.disconnect();
    return broker;
  }

  /** Declares what a plan says. @throws AdminError where something stands that is different */
  declare({ exchanges, queues, bindings, links = [] }: Topology): void {
    for (const exchange of exchanges) this.store.declareExchange(exchange);
    for (const queue of queues) this.store.declareQueue(queue);
    for (const link of links) this.store.link(link);
    for (const binding of bindings) this.store.bind(binding);
  }

  /** The names of the queues that stand. */
  get queues(): string[] {
    return this.store.queueNames;
  }

  get exchanges(): string[] {
    return this.store.exchangeNames;
  }

  /**
   * Everything in a queue: first what is ready, in order, then what is held, then what waits to be dead-lettered.
   * @throws AdminError `missing`
   */
  contents(queue: string): MemoryMessage[] {
    const { ready, unacked, deadLettering } = this.store.queue(queue).contents;
    return [
      ...ready.map((message) => shown('ready', message)),
      ...unacked.map((message) => shown('unacked', message)),
      ...deadLettering.map((letter) => shown('dead-lettering', letter)),
    ];
  }

  /** The reason of the alarm while no messages are taken. */
  get blockedBy(): string | undefined {
    return this.#blockedBy;
  }

  /** A memory or disk alarm: publishes wait until `unblock`. */
  block(reason = 'low on memory'): void {
    this.#alarm(reason);
  }

  unblock(): void {
    this.#alarm(undefined);
  }

  /** The server goes, and keeps what it has: every queue is durable. */
  stop(): void {
    this.#stopped = true;
    for (const broker of this.#brokers) broker.disconnect();
  }

  /** It comes back; so do the connections. */
  start(): void {
    this.#stopped = false;
    for (const broker of this.#brokers) broker.reconnect();
  }

  /** The next `count` publishes, whoever sends them, go wrong like this. */
  failPublishes(fault: PublishFault, count = 1): void {
    this.faults.failPublishes(fault, count);
  }

  /** The next `count` acks never arrive: those messages come again when their channel closes. */
  loseAcks(count = 1): void {
    this.faults.loseAcks(count);
  }

  /** @internal it was closed */
  forget(broker: MemoryBroker): void {
    this.#brokers.delete(broker);
  }

  #alarm(reason: string | undefined): void {
    if (this.#blockedBy === reason) return;
    this.#blockedBy = reason;
    for (const broker of this.#brokers) broker.alarmChanged(reason);
  }
}

/**
 * When what was sent arrives. By the machine's clock in a later turn of the event loop, as from a socket, so that
 * no endless exchange of messages can keep timers from firing; with a clock of the test's in a microtask.
 */
function deferFor(clock: Clock | undefined): Defer {
  return clock ? (call) => void Promise.resolve().then(call) : setImmediate;
}

function shown(state: MemoryMessage['state'], letter: Letter | Stored): MemoryMessage {
  const { exchange, routingKey } = letter;
  return {
    state,
    body: Buffer.from(letter.body),
    properties: deliveredProperties(letter),
    exchange,
    routingKey,
  };
}
