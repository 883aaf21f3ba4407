/** One queue of the memory server. It knows consumers and the way to an exchange, nothing of connections. */
import type { QueueSpec } from '../../../topology/plan.ts';
import type { QueueCounts } from '../broker.ts';
import type { Clock } from './clock.ts';
import { DeadLetters } from './dead-letters.ts';
import { copyOf, type DeathReason, type Letter, type Stored, withDeath } from './message.ts';
import { ReadyList } from './ready-list.ts';

/** Someone who takes messages of a queue as they come. */
export interface Consumer {
  /** Has room for one more. */
  readonly hungry: boolean;
  take(message: Stored): void;
  /** The queue is gone. */
  cancelled(reason: string): void;
}

/** What a queue needs of the server it stands on. */
export interface Surroundings {
  readonly clock: Clock;
  /** Calls later, in the order of the calls. */
  defer(call: () => void): void;
  /** Routes a dead letter; true when every queue that it leads to took it, and there was one. */
  sendDead(letter: Letter): boolean;
}

/** Since 4.0 a quorum queue gives up on a message after this many returns, unless told otherwise. */
const DEFAULT_DELIVERY_LIMIT = 20;

export class MemoryQueue {
  readonly spec: QueueSpec;
  readonly #around: Surroundings;
  readonly #ready: ReadyList;
  readonly #out = new Set<Stored>();
  readonly #deadLetters: DeadLetters;
  #consumers: Consumer[] = [];
  #places = 0;
  #pumping = false;
  #deleted = false;
  #expiry: { at: number; timer: unknown } | undefined;

  constructor(spec: QueueSpec, around: Surroundings) {
    this.spec = spec;
    this.#around = around;
    this.#ready = new ReadyList(!this.#isQuorum);
    this.#deadLetters = new DeadLetters(around.clock, (letter) => around.sendDead(letter));
  }

  get singleConsumer(): boolean {
    return this.#argument('x-single-active-consumer') === true;
  }

  get name(): string {
    return this.spec.name;
  }

  get counts(): QueueCounts {
    this.#expire();
    return { ready: this.#ready.length, consumers: this.#consumers.length };
  }

  /** Ready, handed out, and dead letters that found no way yet. */
  get contents(): { ready: Stored[]; unacked: Stored[]; deadLettering: Letter[] } {
    this.#expire();
    return { ready: this.#ready.all, unacked: [...this.#out], deadLettering: this.#deadLetters.letters };
  }

  /** False when the queue is full and refuses what is published. */
  add(letter: Letter): boolean {
    this.#expire();
    if (this.#isFull && this.#argument('x-overflow') === 'reject-publish') return false;
    const ttl = this.#number('x-message-ttl');
    const expiresAt = ttl === undefined ? undefined : this.#around.clock.now() + ttl;
    this.#ready.push({ ...copyOf(letter), place: this.#places++, expiresAt, deliveries: 0, returns: 0 });
    this.#dropHead();
    this.#wake();
    return true;
  }

  /** The first message, for someone who pulls. */
  take(): Stored | undefined {
    this.#expire();
    const message = this.#ready.shift();
    if (message) this.#handOut(message);
    this.#arm();
    return message;
  }

  addConsumer(consumer: Consumer): void {
    this.#consumers.push(consumer);
    this.#wake();
  }

  removeConsumer(consumer: Consumer): void {
    this.#consumers = this.#consumers.filter((other) => other !== consumer);
    this.#wake();
  }

  /** A consumer may have room again. */
  look(): void {
    this.#wake();
  }

  ack(message: Stored): void {
    this.#out.delete(message);
    this.#wake();
  }

  /**
   * Back into the queue, until it has come back too often. Every way back counts, as before RabbitMQ 4.3:
   * whoever holds out against that holds out on all versions.
   */
  putBack(message: Stored): void {
    if (!this.#out.delete(message) || this.#deleted) return;
    message.returns++;
    if (message.returns > this.#deliveryLimit) this.#die(message, 'delivery_limit');
    else this.#ready.putBack(message);
    this.#wake();
  }

  reject(message: Stored): void {
    if (!this.#out.delete(message) || this.#deleted) return;
    this.#die(message, 'rejected');
    this.#wake();
  }

  /** All messages go with it. */
  delete(): void {
    this.#deleted = true;
    this.#deadLetters.clear();
    this.#disarm();
    for (const consumer of this.#consumers.splice(0)) consumer.cancelled(`queue '${this.name}' was deleted`);
  }

  get #isQuorum(): boolean {
    return this.#argument('x-queue-type') === 'quorum';
  }

  /** A quorum queue takes one more than its limit before it refuses (measured on 3.10 and 4.3). */
  get #isFull(): boolean {
    const most = this.#number('x-max-length');
    return (
      most !== undefined && this.#ready.length + this.#deadLetters.count >= most + (this.#isQuorum ? 1 : 0)
    );
  }

  get #deliveryLimit(): number {
    if (!this.#isQuorum) return Number.POSITIVE_INFINITY;
    const limit = this.#number('x-delivery-limit') ?? DEFAULT_DELIVERY_LIMIT;
    return limit < 0 ? Number.POSITIVE_INFINITY : limit;
  }

  #argument(name: string): string | number | boolean | undefined {
    return this.spec.arguments[name];
  }

  #number(name: string): number | undefined {
    const value = this.#argument(name);
    return typeof value === 'number' ? value : undefined;
  }

  #dropHead(): void {
    const most = this.#number('x-max-length') ?? Number.POSITIVE_INFINITY;
    if (this.#argument('x-overflow') === 'reject-publish') return;
    while (this.#ready.length > most) this.#die(this.#ready.shift() as Stored, 'maxlen');
  }

  #wake(): void {
    if (this.#pumping || this.#deleted) return;
    this.#pumping = true;
    this.#around.defer(() => {
      this.#pumping = false;
      this.#pump();
    });
  }

  /** What comes back meanwhile waits for the next turn, so that whoever returns at once cannot hold up the rest. */
  #pump(): void {
    this.#expire();
    for (let left = this.#ready.length; left > 0 && this.#ready.head; left--) {
      const consumer = this.#nextConsumer();
      if (!consumer) break;
      const message = this.#ready.shift() as Stored;
      this.#handOut(message);
      consumer.take(message);
      this.#expire();
    }
    this.#arm();
  }

  #handOut(message: Stored): void {
    message.deliveries++;
    this.#out.add(message);
  }

  /** Consumers take turns: whoever got one goes to the end. A single active one is the one that came first. */
  #nextConsumer(): Consumer | undefined {
    if (this.singleConsumer) {
      const [active] = this.#consumers;
      return active?.hungry ? active : undefined;
    }
    const at = this.#consumers.findIndex(({ hungry }) => hungry);
    if (at < 0) return undefined;
    const [consumer] = this.#consumers.splice(at, 1);
    this.#consumers.push(consumer as Consumer);
    return consumer;
  }

  /** Only at the head: a message behind one that waits longer waits as long. */
  #expire(): void {
    const now = this.#around.clock.now();
    for (let head = this.#ready.head; isDue(head, now); head = this.#ready.head) {
      this.#ready.shift();
      this.#die(head, 'expired');
    }
  }

  #arm(): void {
    const at = this.#ready.head?.expiresAt;
    if (at === this.#expiry?.at) return;
    this.#disarm();
    if (at === undefined || this.#deleted) return;
    const timer = this.#around.clock.setTimeout(() => this.#onTimer(), at - this.#around.clock.now());
    this.#expiry = { at, timer };
  }

  #onTimer(): void {
    this.#expiry = undefined;
    this.#pump();
  }

  #disarm(): void {
    if (this.#expiry) this.#around.clock.clearTimeout(this.#expiry.timer);
    this.#expiry = undefined;
  }

  #die(message: Stored, reason: DeathReason): void {
    const exchange = this.#argument('x-dead-letter-exchange');
    if (exchange === undefined) return;
    const key = this.#argument('x-dead-letter-routing-key');
    const properties = withDeath(message, { queue: this.name, reason, now: this.#around.clock.now() });
    // A key of the queue's own takes the place of all keys the message had.
    if (key !== undefined) delete properties.headers.CC;
    const letter = {
      body: message.body,
      properties,
      exchange: String(exchange),
      routingKey: String(key ?? message.routingKey),
    };
    if (this.#deadLettersSafely) this.#deadLetters.add(letter);
    else this.#around.sendDead(letter);
  }

  /** Without all three, RabbitMQ silently falls back to at-most-once. */
  get #deadLettersSafely(): boolean {
    return (
      this.#isQuorum &&
      this.#argument('x-dead-letter-strategy') === 'at-least-once' &&
      this.#argument('x-overflow') === 'reject-publish'
    );
  }
}

function isDue(message: Stored | undefined, now: number): message is Stored {
  return message?.expiresAt !== undefined && message.expiresAt <= now;
}
