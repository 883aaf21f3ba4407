/** A channel as amqplib gives it, as far as warren's publisher and session use one. */
import { EventEmitter } from 'node:events';
import { type ConsumeMessage, IllegalOperationError, type Message, type Options } from 'amqplib';
import type { MessageProperties } from '../../src/broker/broker.ts';
import type { ClientConnection } from './client-connection.ts';
import { ServerChannel, type Way } from './server-channel.ts';
import type { ServerLink } from './server-link.ts';

type OnMessage = (message: ConsumeMessage | null) => void;

interface Rpc {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export interface Delivered {
  fields: ConsumeMessage['fields'];
  content: Buffer;
  properties: MessageProperties;
}

export class ClientChannel extends EventEmitter {
  readonly #connection: ClientConnection;
  readonly #link: ServerLink;
  readonly #server: ServerChannel;
  readonly #consumers = new Map<string, OnMessage>();
  readonly #rpcs = new Set<Rpc>();
  #state: 'open' | 'closing' | 'closed' = 'open';

  constructor(connection: ClientConnection, link: ServerLink) {
    super();
    this.#connection = connection;
    this.#link = link;
    this.#server = new ServerChannel(link, this);
  }

  // --- what warren calls ---

  publish(exchange: string, routingKey: string, body: Buffer, options: Options.Publish): boolean {
    this.#check();
    const { mandatory = false } = options;
    const publication = { exchange, routingKey, body, properties: propertiesOf(options) };
    this.#send(() => this.#server.publish(publication, mandatory));
    const { random, scheduler } = this.#link.server;
    const writable = !random.chance(0.05);
    if (!writable) scheduler.after(this.#connection.owner, random.between(0, 5), () => this.emit('drain'));
    return writable;
  }

  async prefetch(count: number): Promise<void> {
    await this.#rpc(() => this.#server.qos(count));
  }

  async consume(queue: string, onMessage: OnMessage, { consumerTag = '' }: Options.Consume): Promise<void> {
    // Deliveries may come in one go with the answer.
    this.#consumers.set(consumerTag, onMessage);
    await this.#rpc(() => this.#server.consume(queue, consumerTag));
  }

  async cancel(consumerTag: string): Promise<void> {
    await this.#rpc(() => this.#server.cancel(consumerTag));
    this.#consumers.delete(consumerTag);
  }

  ack({ fields }: Message, multiple = false): void {
    this.#settle(fields.deliveryTag, multiple, 'ack');
  }

  nack({ fields }: Message, multiple = false, requeue = true): void {
    this.#settle(fields.deliveryTag, multiple, requeue ? 'putBack' : 'reject');
  }

  async close(): Promise<void> {
    this.#check();
    const closing = this.#rpc(() => this.#server.close(), true);
    this.#state = 'closing';
    await closing;
    this.ended();
  }

  // --- what the server says ---

  returned(fields: { exchange: string; routingKey: string; messageId: string | undefined }): void {
    const { messageId, ...where } = fields;
    if (this.#state === 'open')
      this.emit('return', { fields: { ...where, replyText: 'NO_ROUTE' }, properties: { messageId } });
  }

  answered(answer: 'ack' | 'nack', deliveryTag: number, multiple: boolean): void {
    if (this.#state === 'open') this.emit(answer, { deliveryTag, multiple });
  }

  delivered(consumerTag: string, message: Delivered | null): void {
    if (this.#state === 'open') this.#consumers.get(consumerTag)?.(message as ConsumeMessage | null);
  }

  closedByServer(code: number, words: string): void {
    // Not handed out: its connection was being closed when it was opened, and hears no more of it.
    if (this.#state === 'closed' || !this.#connection.channels.has(this)) return;
    const error = Object.assign(new Error(`Channel closed by server: ${words}`), { code });
    this.#rejectAll(error);
    if (this.#state === 'open') this.emit('error', error);
    this.ended();
  }

  /** Closed, for whatever reason; what waits for an answer gets none. */
  ended(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#connection.channels.delete(this);
    this.#rejectAll(new Error('Channel ended, no reply will be forthcoming'));
    this.emit('close');
  }

  // --- frames ---

  #settle(tag: number, multiple: boolean, way: Way): void {
    this.#check();
    this.#send(() => this.#server.settle(tag, multiple, way));
  }

  #rpc(request: () => void, closes = false): Promise<unknown> {
    this.#check();
    return new Promise((resolve, reject) => {
      const rpc = { resolve, reject };
      this.#rpcs.add(rpc);
      this.#send(() => {
        request();
        if (this.#server.isOpen || closes) this.#link.wire.toClient.send(() => this.#answer(rpc));
      });
    });
  }

  #answer(rpc: Rpc): void {
    if (this.#rpcs.delete(rpc)) rpc.resolve(undefined);
  }

  #send(frame: () => void): void {
    this.#link.wire.toServer.send(() => {
      if (this.#server.isOpen && this.#link.isOpen) frame();
    });
  }

  #rejectAll(error: Error): void {
    for (const { reject } of this.#rpcs) reject(error);
    this.#rpcs.clear();
  }

  #check(): void {
    if (this.#state !== 'open' || this.#connection.saysGoodbye)
      throw new IllegalOperationError('Channel closed');
  }
}

function propertiesOf(options: Options.Publish): MessageProperties {
  const {
    messageId,
    type,
    contentType,
    contentEncoding,
    timestamp,
    correlationId,
    replyTo,
    appId,
    priority,
  } = options;
  const headers = (options.headers ?? {}) as MessageProperties['headers'];
  return {
    messageId,
    type,
    contentType,
    contentEncoding,
    timestamp,
    correlationId,
    replyTo,
    appId,
    priority,
    headers,
  };
}
