/** A subscription: a consumer on a channel of its own, attached again whenever either is lost. */

import { jittered, messageOf, Pause } from '../deadline.ts';
import { ackTimeoutIn, cancelsForLateAcks } from './ack-timeout.ts';
import type { Delivery, SubscribeOptions, Subscription, SubscriptionState } from './broker.ts';
import type { Connection } from './connection.ts';
import { Session, type SessionEnd } from './session.ts';

export interface ConsumerOptions {
  connection: Connection;
  random: () => number;
  onStale(queue: string): void;
}

/** A session that lived shorter than this goes on with the back-off it came from. */
const STABLE_AFTER_MS = 10_000;

export class Consumer implements Subscription {
  readonly queue: string;
  readonly #options: SubscribeOptions;
  readonly #connection: Connection;
  readonly #random: () => number;
  readonly #onStale: () => void;
  readonly #pause = new Pause();
  readonly #unwatch: () => void;
  #session: Session | undefined;
  #attached = false;
  #wanted = true;
  #prefetch: number;
  #failures = 0;
  /** The broker took the last consumer away. Where its queue is still there, an ack may have taken too long. */
  #cancelled = false;
  #told: string | undefined;
  #onUp: (() => void) | undefined;

  constructor(queue: string, options: SubscribeOptions, { connection, random, onStale }: ConsumerOptions) {
    this.queue = queue;
    this.#options = options;
    this.#prefetch = options.prefetch;
    this.#connection = connection;
    this.#random = random;
    this.#onStale = () => onStale(queue);
    this.#unwatch = connection.watch({ up: () => this.#onUp?.() });
    void this.#run();
  }

  get attached(): boolean {
    return this.#attached;
  }

  setPrefetch(count: number): void {
    this.#prefetch = count;
    if (this.#attached) this.#session?.setPrefetch(count);
  }

  async cancel(timeout: number): Promise<void> {
    this.#leave();
    await this.#session?.cancel(timeout);
  }

  async close(timeout: number): Promise<boolean> {
    const until = performance.now() + timeout;
    this.#leave();
    const session = this.#session;
    if (session === undefined) return true;
    await session.cancel(timeout);
    return session.close(Math.max(0, until - performance.now()));
  }

  leave(): void {
    this.#leave();
    this.#session?.discard('left');
  }

  #leave(): void {
    this.#wanted = false;
    this.#attached = false;
    this.#unwatch();
    this.#onUp?.();
    this.#pause.end();
  }

  async #run(): Promise<void> {
    while (this.#wanted) {
      await this.#whenUp();
      if (!this.#wanted) return;
      const end = await this.#attach();
      if (!this.#wanted) return;
      this.#detached(this.#connection.isUp ? end.reason : this.#connection.reason);
      this.#cancelled = end.cancelled === true && cancelsForLateAcks(this.#connection.version);
      const ackTimeout = ackTimeoutIn(end);
      if (ackTimeout !== undefined) this.#takenBack(ackTimeout || undefined);
      await this.#rest();
      if (end.code === 404 && this.#wanted) await this.#missing();
    }
  }

  #whenUp(): Promise<void> {
    if (this.#connection.isUp) return Promise.resolve();
    this.#detached(this.#connection.reason);
    return new Promise((resolve) => (this.#onUp = resolve));
  }

  /** Attaches, and resolves when that has ended again, or has failed. */
  async #attach(): Promise<SessionEnd> {
    const since = performance.now();
    let session: Session | undefined;
    try {
      const channel = await this.#connection.openChannel();
      session = new Session(channel, {
        queue: this.queue,
        ackTimeout: this.#options.ackTimeout,
        onDelivery: this.#deliver,
        onStale: this.#onStale,
      });
      if (!this.#wanted) throw new Error('left before it was attached');
      this.#session = session;
      await session.consume(this.#prefetch);
      this.#nowAttached();
      const end = await session.ended;
      if (performance.now() - since > STABLE_AFTER_MS) this.#failures = 0;
      return end;
    } catch (error) {
      const reason = messageOf(error);
      session?.discard(reason);
      return { reason, code: (error as { code?: number }).code };
    } finally {
      if (this.#wanted) this.#session = undefined;
    }
  }

  readonly #deliver = (delivery: Delivery): void => {
    // The first delivery may be read in one go with the consume-ok before it.
    if (!this.#attached) this.#nowAttached();
    this.#options.onDelivery(delivery);
  };

  #nowAttached(): void {
    if (this.#attached || !this.#wanted) return;
    this.#attached = true;
    this.#told = undefined;
    if (this.#cancelled) this.#takenBack(undefined);
    this.#cancelled = false;
    this.#tell({ state: 'attached' });
    this.#session?.setPrefetch(this.#prefetch);
  }

  #detached(reason: string): void {
    this.#attached = false;
    if (this.#told === reason) return;
    this.#told = reason;
    this.#tell({ state: 'detached', reason });
  }

  #tell(state: SubscriptionState): void {
    try {
      this.#options.onState?.(state);
    } catch {
      // A fault of whoever listens must not end the consuming.
    }
  }

  #takenBack(afterMs: number | undefined): void {
    try {
      this.#options.onTakenBack?.(afterMs);
    } catch {
      // As above.
    }
  }

  async #rest(): Promise<void> {
    // A lost connection has a back-off of its own.
    if (!this.#connection.isUp) return;
    this.#failures++;
    await this.#pause.take(jittered(this.#failures, this.#random));
  }

  async #missing(): Promise<void> {
    try {
      await this.#options.onMissing?.();
    } catch {
      // It may fail as long as it likes; the next try to attach says what is wrong.
    }
  }
}
