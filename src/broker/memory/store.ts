/** What stands on the memory server: exchanges, queues, and the ways between them. */
import type { BindingSpec, ExchangeSpec, LinkSpec, QueueSpec } from '../../../topology/plan.ts';
import type { Publication, QueueCounts } from '../broker.ts';
import { type Clock, serverClock } from './clock.ts';
import {
  checkExchangeSpec,
  checkQueueSpec,
  checkSameExchange,
  checkSameQueue,
  defaultExchangeRefused,
  notEmpty,
  notFound,
} from './declared.ts';
import { MemoryExchange } from './exchange.ts';
import { isCycle, keysOf, type Letter } from './message.ts';
import { MemoryQueue } from './queue.ts';

/** What the broker answers to a publish: confirmed, returned, or nacked. */
export type PublishAnswer = 'routed' | 'unroutable' | 'refused';

export type Defer = (call: () => void) => void;

/** RabbitMQ as far as warren asks anything of it. No connections here: those are the Broker's. */
export class MemoryStore {
  readonly clock: Clock;
  readonly defer: Defer;
  readonly #exchanges = new Map<string, MemoryExchange>();
  readonly #queues = new Map<string, MemoryQueue>();

  constructor(clock: Clock = serverClock, defer: Defer = setImmediate) {
    this.clock = clock;
    this.defer = defer;
  }

  publish({ exchange, routingKey, body, properties }: Publication): PublishAnswer {
    const queues = this.#route(exchange, keysOf({ routingKey, properties }));
    if (queues.length === 0) return 'unroutable';
    // Each queue decides for itself, so one may keep what another refuses: all are asked.
    const taken = queues.map((queue) => queue.add({ body, properties, exchange, routingKey }));
    return taken.every(Boolean) ? 'routed' : 'refused';
  }

  sendDead(letter: Letter): boolean {
    const queues = this.#route(letter.exchange, keysOf(letter)).filter(
      ({ name }) => !isCycle(name, letter.properties.headers),
    );
    return queues.map((queue) => queue.add(letter)).every(Boolean) && queues.length > 0;
  }

  declareExchange(spec: ExchangeSpec): void {
    checkExchangeSpec(spec);
    const standing = this.#exchanges.get(spec.name);
    if (standing) checkSameExchange(standing.spec, spec);
    else this.#exchanges.set(spec.name, new MemoryExchange(structuredClone(spec)));
  }

  declareQueue(spec: QueueSpec): QueueCounts {
    const standing = this.#queues.get(spec.name);
    if (standing) checkSameQueue(standing.spec, spec);
    else this.#addQueue(spec);
    return this.queue(spec.name).counts;
  }

  #addQueue(spec: QueueSpec): void {
    checkQueueSpec(spec);
    this.#queues.set(spec.name, new MemoryQueue(structuredClone(spec), this));
  }

  bind({ exchange, queue, routingKey }: BindingSpec): void {
    if (exchange === '') throw defaultExchangeRefused();
    const source = this.exchange(exchange);
    source.bind(this.queue(queue).name, routingKey);
  }

  link({ from, to, routingKey }: LinkSpec): void {
    if (from === '' || to === '') throw defaultExchangeRefused();
    this.exchange(from).link(this.exchange(to).spec.name, routingKey);
  }

  /** @throws AdminError `missing` */
  exchange(name: string): MemoryExchange {
    const exchange = this.#exchanges.get(name);
    if (!exchange) throw notFound('exchange', name);
    return exchange;
  }

  /** @throws AdminError `missing` */
  queue(name: string): MemoryQueue {
    const queue = this.#queues.get(name);
    if (!queue) throw notFound('queue', name);
    return queue;
  }

  find(queue: string): MemoryQueue | undefined {
    return this.#queues.get(queue);
  }

  get queueNames(): string[] {
    return [...this.#queues.keys()];
  }

  get exchangeNames(): string[] {
    return [...this.#exchanges.keys()];
  }

  /** As RabbitMQ, says nothing when there was none. */
  deleteQueue(name: string, ifEmpty = false): void {
    const queue = this.#queues.get(name);
    if (!queue) return;
    if (ifEmpty && queue.counts.ready > 0) throw notEmpty(name);
    this.#queues.delete(name);
    for (const exchange of this.#exchanges.values()) exchange.forgetQueue(name);
    queue.delete();
  }

  deleteExchange(name: string): void {
    if (name === '') throw defaultExchangeRefused();
    this.#exchanges.delete(name);
    for (const exchange of this.#exchanges.values()) exchange.forgetExchange(name);
  }

  /** The queues a message goes to: by its exchange, those linked to it, and the alternate of each that has no way on. */
  #route(exchange: string, keys: readonly string[]): MemoryQueue[] {
    if (exchange === '') return this.#existing(keys);
    const asked = new Set([exchange]);
    const found = new Set<string>();
    // A set's iteration also comes to what is added meanwhile, and to nothing twice.
    for (const name of asked) {
      const through = this.#exchanges.get(name);
      const { queues, exchanges } = through?.route(keys) ?? { queues: [], exchanges: [] };
      for (const queue of queues) found.add(queue);
      for (const next of exchanges) asked.add(next);
      if (queues.length + exchanges.length === 0 && through?.alternate !== undefined)
        asked.add(through.alternate);
    }
    return this.#existing([...found]);
  }

  #existing(names: readonly string[]): MemoryQueue[] {
    return names.flatMap((name) => this.#queues.get(name) ?? []);
  }
}
