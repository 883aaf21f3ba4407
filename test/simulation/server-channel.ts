/** The server's end of one channel: delivery tags, prefetch, confirms, returns, and what goes back when it ends. */
import type { MessageProperties, Publication } from '../../src/broker/broker.ts';
import { deliveredProperties, type Stored } from '../../src/broker/memory/message.ts';
import type { Consumer, MemoryQueue } from '../../src/broker/memory/queue.ts';
import type { ClientChannel } from './client-channel.ts';
import type { ServerLink } from './server-link.ts';

/** A header on each delivery that names the stored message: two copies of a job have one id and two of these. */
export const COPY = 'x-simulated-copy';

export type Way = 'ack' | 'putBack' | 'reject';

interface Out {
  consumer: ServerConsumer;
  message: Stored;
  /** When it was sent, ms. */
  since: number;
}

export class ServerChannel {
  readonly link: ServerLink;
  readonly client: ClientChannel;
  readonly #out = new Map<number, Out>();
  readonly #consumers = new Map<string, ServerConsumer>();
  /** Tags the server took back by itself: a late ack of one is an error, but nobody's fault. */
  readonly #takenBack = new Set<number>();
  /** Publications that are decided and not answered yet, by their number. */
  readonly #unanswered = new Map<number, 'ack' | 'nack'>();
  #prefetch = 0;
  #tag = 0;
  #published = 0;
  #open = true;

  constructor(link: ServerLink, client: ClientChannel) {
    this.link = link;
    this.client = client;
    link.channels.add(this);
  }

  get isOpen(): boolean {
    return this.#open;
  }

  get consumers(): number {
    return this.#consumers.size;
  }

  // --- publishing ---

  publish(publication: Publication, mandatory: boolean): void {
    const { server } = this.link;
    const { exchange, routingKey, properties } = publication;
    if (!server.hasExchange(exchange)) {
      this.fail(404, `NOT_FOUND - no exchange '${exchange}' in vhost '/'`);
      return;
    }
    const number = ++this.#published;
    const answer = server.store.publish(publication);
    server.watcher.trace(() => `server: ${properties.messageId} to ${exchange}: ${answer}`);
    if (answer === 'unroutable' && mandatory)
      this.#say(() => this.client.returned({ exchange, routingKey, messageId: properties.messageId }));
    this.#unanswered.set(number, answer === 'refused' ? 'nack' : 'ack');
    server.scheduler.after(undefined, server.random.between(0, 5), () => this.#answer(number));
  }

  #answer(number: number): void {
    const answer = this.#unanswered.get(number);
    if (!this.#open || answer === undefined) return;
    const before = [...this.#unanswered].filter(([other]) => other < number);
    const multiple = this.link.server.random.chance(0.4) && before.every(([, each]) => each === answer);
    if (multiple) for (const [other] of before) this.#unanswered.delete(other);
    this.#unanswered.delete(number);
    this.#say(() => this.client.answered(answer, number, multiple));
  }

  // --- consuming ---

  qos(count: number): void {
    this.#prefetch = count;
  }

  consume(queueName: string, tag: string): void {
    const queue = this.link.server.store.find(queueName);
    if (!queue) this.fail(404, `NOT_FOUND - no queue '${queueName}' in vhost '/'`);
    else this.#consumers.set(tag, new ServerConsumer(this, queue, tag, this.#prefetch));
  }

  /** What was about to be handed to it goes back; what it has been handed stays out. */
  cancel(tag: string): void {
    this.#consumers.get(tag)?.stop();
    this.#consumers.delete(tag);
  }

  /** basic.cancel by the server. As RabbitMQ 4.3 does where an ack takes too long, it takes back what is out. */
  cancelAll(): void {
    for (const tag of [...this.#consumers.keys()]) {
      this.cancel(tag);
      this.#say(() => this.client.delivered(tag, null));
    }
    for (const [tag, { consumer, message }] of [...this.#out]) {
      this.#out.delete(tag);
      this.#takenBack.add(tag);
      consumer.queue.putBack(message);
    }
  }

  deliver(consumer: ServerConsumer, message: Stored): void {
    const tag = ++this.#tag;
    this.#out.set(tag, { consumer, message, since: this.link.server.scheduler.now });
    const { body, exchange, routingKey } = message;
    const properties = deliveredProperties(message);
    properties.headers[COPY] = copyName(consumer.queue, message);
    const redelivered = message.deliveries > 1;
    const fields = { deliveryTag: tag, redelivered, exchange, routingKey, consumerTag: consumer.tag };
    this.link.server.watcher.trace(
      () =>
        `server: delivers ${properties.messageId} (${properties.headers[COPY]})${redelivered ? ' again' : ''} as ${tag} to ${this.link.client.owner.name}`,
    );
    this.#say(() => this.client.delivered(consumer.tag, { fields, content: body, properties }));
  }

  settle(tag: number, multiple: boolean, way: Way): void {
    const { watcher } = this.link.server;
    if (!this.#out.has(tag)) {
      if (!this.#takenBack.has(tag))
        watcher.strayed(`${way} of tag ${tag} from ${this.link.client.owner.name}, which is not out there`);
      this.fail(406, `PRECONDITION_FAILED - unknown delivery tag ${tag}`);
      return;
    }
    const tags = multiple ? [...this.#out.keys()].filter((each) => each <= tag) : [tag];
    for (const each of tags) this.#settleOne(each, way);
  }

  #settleOne(tag: number, way: Way): void {
    const { consumer, message } = this.#out.get(tag) as Out;
    const { watcher } = this.link.server;
    this.#out.delete(tag);
    consumer.unsettled--;
    consumer.queue[way](message);
    watcher.trace(
      () => `server: ${way} of ${message.properties.messageId} (${tag}) from ${this.link.client.owner.name}`,
    );
    if (way !== 'putBack') watcher.removed(message.properties, way, consumer.queue.name);
  }

  /** What was sent here before `moment` and is not settled. */
  heldSince(moment: number): { copy: string; properties: MessageProperties }[] {
    return [...this.#out.values()]
      .filter(({ since }) => since < moment)
      .map(({ consumer, message }) => ({
        copy: copyName(consumer.queue, message),
        properties: message.properties,
      }));
  }

  // --- its end ---

  /** A channel error: the client is told, everything goes back. */
  fail(code: number, words: string): void {
    if (!this.#open) return;
    this.close();
    this.#say(() => this.client.closedByServer(code, words));
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.link.channels.delete(this);
    for (const tag of [...this.#consumers.keys()]) this.cancel(tag);
    for (const { consumer, message } of this.#out.values()) consumer.queue.putBack(message);
    this.#out.clear();
  }

  #say(frame: () => void): void {
    this.link.wire.toClient.send(frame);
  }
}

export function copyName(queue: MemoryQueue, message: Stored): string {
  return `${queue.name}#${message.place}`;
}

class ServerConsumer implements Consumer {
  readonly #channel: ServerChannel;
  readonly queue: MemoryQueue;
  readonly tag: string;
  readonly #prefetch: number;
  /** Taken from the queue and not handed over yet: another may overtake it. */
  readonly #heldBack = new Set<Stored>();
  #stopped = false;
  unsettled = 0;

  constructor(channel: ServerChannel, queue: MemoryQueue, tag: string, prefetch: number) {
    this.#channel = channel;
    this.queue = queue;
    this.tag = tag;
    this.#prefetch = prefetch;
    queue.addConsumer(this);
  }

  get hungry(): boolean {
    return !this.#stopped && (this.#prefetch === 0 || this.unsettled < this.#prefetch);
  }

  take(message: Stored): void {
    const { scheduler, orders, random } = this.#channel.link.server;
    this.unsettled++;
    // A queue with a single active consumer hands out in its order.
    if (orders.holdBack === 0 || this.queue.singleConsumer) {
      this.#channel.deliver(this, message);
      return;
    }
    orders.holdBack--;
    this.#heldBack.add(message);
    scheduler.after(undefined, random.between(0, 20), () => {
      if (this.#heldBack.delete(message)) this.#channel.deliver(this, message);
    });
  }

  /** The queue is deleted. */
  cancelled(): void {
    this.#channel.cancelAll();
  }

  stop(): void {
    this.#stopped = true;
    this.queue.removeConsumer(this);
    for (const message of this.#heldBack) this.queue.putBack(message);
    this.#heldBack.clear();
  }
}
