/**
 * One consuming channel from its opening to its end. Delivery tags mean something on the channel that
 * brought them only, so everything that settles goes through here, once, and is dropped when it is over.
 */
import type { Channel, ConsumeMessage } from 'amqplib';
import { messageOf, settledWithin, within } from '../deadline.ts';
import { RabbitDelivery, type Settlement, type Settling } from './delivery.ts';
import { at, giveBack, MOST_COMMANDS, settled, startClose } from './settled.ts';

export interface SessionOptions {
  queue: string;
  /** See SubscribeOptions. */
  ackTimeout?: number | undefined;
  onDelivery(delivery: RabbitDelivery): void;
  onStale(): void;
}

/** How a session ended. */
export interface SessionEnd {
  reason: string;
  /** The broker's reply code, where it said one. */
  code?: number | undefined;
  /** The broker took the consumer away and left the channel open. */
  cancelled?: boolean;
}

const RPC_MS = 10_000;
const CLOSE_MS = 5000;

export class Session implements Settling {
  readonly #channel: Channel;
  readonly #options: SessionOptions;
  /** Unsettled deliveries in the order of their tags. */
  readonly #held = new Map<number, RabbitDelivery>();
  readonly ended: Promise<SessionEnd>;
  #end!: (end: SessionEnd) => void;
  #acked: number[] = [];
  #returned: { tag: number; requeue: boolean }[] = [];
  #flushing = false;
  /** Settling commands sent, see `settled`. */
  #commands = 0;
  #live = true;
  #accepting = true;
  #used = false;
  /** The broker has answered `cancel`, so what was settled before has arrived there. */
  #left = false;
  /** Settlements since `cancel`. */
  #settledLate = 0;
  #consumers = 0;
  #consumerTag: string | undefined;
  #prefetch = 0;
  #wantedPrefetch = 0;
  #switching: Promise<void> | undefined;
  #onRoom: (() => void) | undefined;

  constructor(channel: Channel, options: SessionOptions) {
    this.#channel = channel;
    this.#options = options;
    this.ended = new Promise((resolve) => (this.#end = resolve));
    let error: (Error & { code?: number }) | undefined;
    channel.on('error', (cause) => (error = cause));
    channel.on('close', () =>
      this.#over({ reason: error ? messageOf(error) : 'the channel was closed', code: error?.code }),
    );
  }

  get live(): boolean {
    return this.#live;
  }

  /** Rejects where the broker refuses or does not answer; the session is then of no use any more. */
  async consume(prefetch: number): Promise<void> {
    this.#wantedPrefetch = prefetch;
    this.#switching = this.#register(prefetch).finally(() => (this.#switching = undefined));
    await this.#switching;
    this.#follow();
  }

  setPrefetch(count: number): void {
    this.#wantedPrefetch = count;
    this.#follow();
  }

  /** Takes no more: the broker is told, and what arrives meanwhile goes back. */
  async cancel(timeout: number): Promise<void> {
    this.#accepting = false;
    this.#checkRoom();
    const cancelling = (async () => {
      // One that is on its way is waited for, else it would stay.
      await this.#switching?.catch(() => {});
      if (this.#consumerTag !== undefined && this.#live) await this.#channel.cancel(this.#consumerTag);
      this.#consumerTag = undefined;
      this.#left ||= this.#live;
    })();
    await settledWithin(timeout, cancelling);
  }

  /** True when all settlements reached the broker. To be called after `cancel`. */
  async close(timeout: number): Promise<boolean> {
    // What was settled while it was being left, or just before, may have gone with it.
    if (!this.#live) return this.#settledLate === 0 && (this.#left || !this.#used);
    this.#flush();
    const held = [...this.#held.values()];
    for (const delivery of held) delivery.settled = true;
    try {
      await within(timeout, 'closing a channel', this.#leave(held, timeout));
      return true;
    } catch (error) {
      // No queue, nothing to settle.
      return (error as { code?: number }).code === 404;
    } finally {
      this.#over({ reason: 'closed' });
    }
  }

  async #leave(held: readonly RabbitDelivery[], timeout: number): Promise<void> {
    if (this.#commands >= MOST_COMMANDS) await settled(this.#channel, this.#options.queue, timeout);
    this.#live = false;
    giveBack(
      this.#channel,
      held.map(({ tag }) => tag),
    );
    await this.#channel.close();
  }

  /** Gives the channel up at once; the broker takes back what it held. */
  discard(reason: string, cancelled = false): void {
    if (!this.#live) return;
    this.#over({ reason, cancelled });
    settledWithin(CLOSE_MS, startClose(this.#channel));
  }

  settle(delivery: RabbitDelivery, how: Settlement): boolean {
    if (delivery.settled) return false;
    delivery.settled = true;
    if (!this.#live) {
      this.#options.onStale();
      return false;
    }
    this.#held.delete(delivery.tag);
    if (this.#onRoom) this.#checkRoom();
    if (how !== 'release') this.#used = true;
    if (!this.#accepting && how !== 'release') this.#settledLate++;
    if (how === 'ack') this.#acked.push(delivery.tag);
    else this.#returned.push({ tag: delivery.tag, requeue: how === 'release' });
    if (!this.#flushing) {
      this.#flushing = true;
      setImmediate(this.#flush);
    }
    return true;
  }

  // --- deliveries ---

  readonly #take = (message: ConsumeMessage | null): void => {
    if (!this.#live) return;
    // Sent by the broker when the queue was deleted, its node failed, or (4.3) an ack came too late. The channel
    // must go: a late ack on it is an error. https://www.rabbitmq.com/docs/consumer-cancel
    if (message === null) {
      this.discard(
        'the broker cancelled the consumer: its queue was deleted or failed over, or an ack took too long',
        true,
      );
      return;
    }
    const delivery = new RabbitDelivery(message, this);
    this.#held.set(delivery.tag, delivery);
    if (!this.#accepting) {
      this.settle(delivery, 'release');
      return;
    }
    try {
      this.#options.onDelivery(delivery);
    } catch (error) {
      // Thrown into amqplib it would end the connection; dropped, the message would hang.
      this.discard(`a delivery could not be taken: ${messageOf(error)}`);
    }
  };

  // --- settlements ---

  /**
   * Once a turn of the event loop. What lies below the lowest unsettled delivery is acked with one frame,
   * what lies above one by one. Returns go first, so that no run that is acked can hold one of them.
   */
  readonly #flush = (): void => {
    this.#flushing = false;
    if (!this.#live) return;
    try {
      this.#send();
    } catch (error) {
      // From the broker's goodbye until its channels are closed amqplib throws; what is not sent comes again.
      this.discard(`a settlement could not be sent: ${messageOf(error)}`);
    }
  };

  #send(): void {
    const acked = this.#acked;
    const returned = this.#returned;
    this.#acked = [];
    this.#returned = [];
    // A quorum queue puts them back in the order in which they come.
    returned.sort((one, other) => one.tag - other.tag);
    for (const { tag, requeue } of returned) this.#channel.nack(at(tag), false, requeue);
    const lowest = this.#held.keys().next().value ?? Number.POSITIVE_INFINITY;
    let run = 0;
    for (const tag of acked) {
      if (tag > lowest) this.#channel.ack(at(tag));
      else if (tag > run) run = tag;
    }
    if (run > 0) this.#channel.ack(at(run), true);
    this.#commands += returned.length + acked.length;
  }

  // --- consumers ---

  get #limits(): { arguments?: object } {
    const { ackTimeout } = this.#options;
    return ackTimeout === undefined ? {} : { arguments: { 'x-consumer-timeout': ackTimeout } };
  }

  async #register(prefetch: number): Promise<void> {
    const consumerTag = `warren-${++this.#consumers}`;
    const asked = this.#channel.prefetch(prefetch);
    await within(RPC_MS, 'basic.qos', asked);
    await within(
      RPC_MS,
      'basic.consume',
      this.#channel.consume(this.#options.queue, this.#take, { consumerTag, ...this.#limits }),
    );
    this.#consumerTag = consumerTag;
    this.#prefetch = prefetch;
  }

  #follow(): void {
    this.#checkRoom();
    if (this.#switching || this.#prefetch === this.#wantedPrefetch) return;
    if (!this.#live || !this.#accepting || this.#consumerTag === undefined) return;
    this.#switching = this.#switch(this.#consumerTag).finally(() => {
      this.#switching = undefined;
      this.#follow();
    });
  }

  /**
   * A prefetch belongs to its consumer for life (only `global`, denied by 4.3, does not), so another count takes
   * another consumer, on the same channel. The new one's count does not know of what the old one left here, so it
   * comes when that has become less than the new count: changes never add up. What the broker was about to hand
   * to the old one comes marked as redelivered. Measured under load on 3.10 and 4.3: nothing lost, doubled or stuck.
   * https://www.rabbitmq.com/docs/consumer-prefetch
   */
  async #switch(old: string): Promise<void> {
    try {
      this.#consumerTag = undefined;
      await within(RPC_MS, 'basic.cancel', this.#channel.cancel(old));
      await new Promise<void>((resolve) => {
        this.#onRoom = resolve;
        this.#checkRoom();
      });
      if (this.#accepting && this.#live) await this.#register(this.#wantedPrefetch);
    } catch (error) {
      this.discard(`the prefetch could not be changed: ${messageOf(error)}`);
    }
  }

  #checkRoom(): void {
    const onRoom = this.#onRoom;
    if (!onRoom || (this.#held.size >= this.#wantedPrefetch && this.#accepting && this.#live)) return;
    this.#onRoom = undefined;
    onRoom();
  }

  #over(end: SessionEnd): void {
    this.#live = false;
    for (let lost = this.#acked.length; lost > 0; lost--) this.#options.onStale();
    this.#acked = [];
    this.#returned = [];
    this.#held.clear();
    this.#checkRoom();
    this.#end(end);
  }
}
