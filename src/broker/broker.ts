/**
 * What warren asks of a broker, and all that the floors above know of one. Two implementations
 * keep this contract: RabbitMQ (`rabbitmq.ts`) and memory (`memory.ts`); one suite tests both.
 */
import type { BindingSpec, ExchangeSpec, LinkSpec, QueueSpec } from '../../topology/plan.ts';
import type { MessageProperties } from '../core/message.ts';

export type { MessageProperties };

/** A message on its way out. Always persistent and mandatory. Keys in a header `CC` count beside the routing key. */
export interface Publication {
  exchange: string;
  routingKey: string;
  body: Buffer;
  properties: MessageProperties;
}

export interface PublishOptions {
  /** How long to try, in ms from now, default 30,000. */
  deadline?: number;
  /** Aborting rejects with ClosedError at once; the message may still be stored. */
  signal?: AbortSignal | undefined;
  /**
   * Sends it once at most: where it stays unknown whether it was stored, it rejects with DeadlineError at once and
   * the message may still arrive, but never twice.
   */
  once?: boolean;
  /**
   * On a channel of its own: it goes to an exchange that may be missing or forbidden, for which the broker closes the
   * channel, and what else is unconfirmed there has to be published again, though the broker may have it.
   */
  apart?: boolean;
}

/** One handing-over of a message. It can be settled once, and only where it was delivered. */
export interface Delivery {
  readonly body: Buffer;
  readonly properties: MessageProperties;
  readonly redelivered: boolean;
  /**
   * How often the broker says that it was handed out before, from 0. What counts differs between its versions
   * (3.x: every return; 4.0 to 4.2: every handing-over; 4.3: lost channels and rejects only), so that it is a hint and
   * no more. Undefined on classic queues, which do not count.
   */
  readonly deliveryCount: number | undefined;
  readonly exchange: string;
  readonly routingKey: string;
  /** False from the moment its channel is gone: the broker has it back, settling it does nothing. */
  readonly live: boolean;
  /** Removes the message. Returns false, and does nothing, when the delivery is not live or was settled. */
  ack(): boolean;
  /**
   * Gives the message back, for anyone, in front of what was never handed out, in the order of the releases.
   * Returns as `ack` does.
   */
  release(): boolean;
  /**
   * Hands the message to the queue's own dead-lettering, as it is. The way out for a message that
   * cannot be published again (headers too large to encode); everything else gets a dead copy of ours.
   */
  reject(): boolean;
}

export type SubscriptionState =
  /** Consuming on an open channel. */
  | { state: 'attached' }
  /** Not consuming; it tries again until closed. */
  | { state: 'detached'; reason: string };

export interface SubscribeOptions {
  /** How many unsettled deliveries are held at most, at first. */
  prefetch: number;
  /** How long (ms) the broker is to wait for each settlement. Only quorum queues of RabbitMQ 4.3 take it from a consumer. */
  ackTimeout?: number | undefined;
  /** Must not throw. */
  onDelivery(delivery: Delivery): void;
  /** All deliveries handed out so far have just stopped being live. */
  onState?(state: SubscriptionState): void;
  /**
   * A settlement took longer than the broker waits, and it has taken back all that was held. `afterMs`: how long
   * it waits, where it said so; where it did not, the queue may as well have been deleted and put back at once. Called after `detached` is told, and before `attached` is.
   */
  onTakenBack?(afterMs: number | undefined): void;
  /** The queue is not there. Called before each further try to attach; may declare it. */
  onMissing?(): Promise<void>;
}

/** A consumer that re-attaches by itself until it is cancelled. */
export interface Subscription {
  readonly queue: string;
  readonly attached: boolean;
  /** Takes effect soon; held deliveries stay. */
  setPrefetch(count: number): void;
  /** No new deliveries after this resolves (or after `timeout` ms). What is held stays live and can be settled. */
  cancel(timeout: number): Promise<void>;
  /**
   * Hands all settlements to the broker and gives back what is not settled, then leaves.
   * Resolves true when every settlement reached the broker, false when some did not by `timeout` ms.
   */
  close(timeout: number): Promise<boolean>;
  /**
   * Gives up the channel at once, without cancelling first: everything held goes back in one step with the consumer,
   * and of a queue with a single active consumer the next one is served after that. Last settlements may not arrive.
   */
  leave(): void;
}

/** What passive declaring tells: `ready` leaves out what consumers hold. */
export interface QueueCounts {
  ready: number;
  consumers: number;
}

/** A message taken by `get`. Closing the channel puts it back, in front of what was never handed out. */
export interface PulledMessage {
  body: Buffer;
  properties: MessageProperties;
  redelivered: boolean;
  exchange: string;
  routingKey: string;
  /** How many are ready behind it. */
  remaining: number;
  ack(): void;
}

/** Why an administrative call failed, told apart so that nobody matches message texts. */
export type AdminFailure = 'missing' | 'different' | 'forbidden' | 'unavailable';

/** An administrative call failed. The channel it was made on is gone. */
export class AdminError extends Error {
  readonly failure: AdminFailure;
  constructor(failure: AdminFailure, message: string) {
    super(message);
    this.name = 'AdminError';
    this.failure = failure;
  }
}

/** A throwaway channel for declaring, looking and pulling. Every call has a deadline and rejects with AdminError. */
export interface AdminChannel {
  declareExchange(exchange: ExchangeSpec): Promise<void>;
  declareQueue(queue: QueueSpec): Promise<QueueCounts>;
  bind(binding: BindingSpec): Promise<void>;
  /** Binds one exchange to another. */
  link(link: LinkSpec): Promise<void>;
  /** Passive: rejects with `missing` when it does not exist. */
  checkExchange(name: string): Promise<void>;
  checkQueue(name: string): Promise<QueueCounts>;
  deleteQueue(name: string, options?: { ifEmpty?: boolean }): Promise<void>;
  deleteExchange(name: string): Promise<void>;
  /** Takes one message, unsettled, or undefined from an empty queue. */
  get(queue: string): Promise<PulledMessage | undefined>;
}

export interface BrokerEvents {
  /** A connection is open; `role` tells which of the two. `url` without its password. */
  connected: { role: ConnectionRole; url: string };
  /** A connection went, or a try to open one failed. Tries go on. */
  disconnected: { role: ConnectionRole; url: string; reason: string; lost: boolean };
  /** The broker takes no messages: memory or disk alarm. */
  blocked: { reason: string };
  unblocked: Record<string, never>;
  /** A settlement came too late: its channel was gone. */
  stale: { queue: string };
}

export type ConnectionRole = 'publishing' | 'consuming';

export interface BrokerStatus {
  /** Every connection that was asked for is open. */
  connected: boolean;
  /** The reason of the alarm while the broker takes no messages. */
  blocked?: string | undefined;
  /** Version of the server last connected to. */
  version?: string | undefined;
}

export interface Broker {
  readonly status: BrokerStatus;
  /**
   * Opens the connections of these roles (default both) and keeps them open until `close`.
   * @throws BrokerUnreachableError when they are not open after `timeout` ms (0: wait for ever). Tries then stop.
   */
  connect(options: { timeout: number; roles?: readonly ConnectionRole[] }): Promise<void>;
  /** Resolves when confirmed and routed. @throws a PublishError */
  publish(publication: Publication, options?: PublishOptions): Promise<void>;
  subscribe(queue: string, options: SubscribeOptions): Subscription;
  /** Runs `use` on a fresh throwaway channel of the consuming connection, and closes it; unsettled pulls go back. */
  admin<T>(use: (channel: AdminChannel) => Promise<T>): Promise<T>;
  /** Lets publishes under way finish until `timeout` ms, then ends both connections. Never rejects, never hangs. */
  close(timeout: number): Promise<void>;
  on<E extends keyof BrokerEvents>(event: E, listener: (data: BrokerEvents[E]) => void): () => void;
}
