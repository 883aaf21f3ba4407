import type { ConsumeMessage, MessageProperties as WireProperties } from 'amqplib';
import { readDeliveryCount } from '../core/headers.ts';
import type { MessageProperties } from '../core/message.ts';
import type { Delivery } from './broker.ts';

export type Settlement = 'ack' | 'release' | 'reject';

/** Where a delivery is settled: the channel that brought it. */
export interface Settling {
  readonly live: boolean;
  settle(delivery: RabbitDelivery, how: Settlement): boolean;
}

/** On the hot path: one small object a message, and what is seldom read is made when it is. */
export class RabbitDelivery implements Delivery {
  readonly #message: ConsumeMessage;
  readonly #where: Settling;
  #properties: MessageProperties | undefined;
  settled = false;

  constructor(message: ConsumeMessage, where: Settling) {
    this.#message = message;
    this.#where = where;
  }

  get tag(): number {
    return this.#message.fields.deliveryTag;
  }

  get body(): Buffer {
    return this.#message.content;
  }

  get properties(): MessageProperties {
    this.#properties ??= readProperties(this.#message.properties);
    return this.#properties;
  }

  get redelivered(): boolean {
    return this.#message.fields.redelivered;
  }

  get deliveryCount(): number | undefined {
    return readDeliveryCount(this.properties);
  }

  get exchange(): string {
    return this.#message.fields.exchange;
  }

  get routingKey(): string {
    return this.#message.fields.routingKey;
  }

  get live(): boolean {
    return this.#where.live && !this.settled;
  }

  ack(): boolean {
    return this.#where.settle(this, 'ack');
  }

  release(): boolean {
    return this.#where.settle(this, 'release');
  }

  reject(): boolean {
    return this.#where.settle(this, 'reject');
  }
}

/** Named one by one, so that nothing a sender added travels on with a copy of the message. */
export function readProperties(wire: WireProperties): MessageProperties {
  return {
    messageId: wire.messageId,
    type: wire.type,
    contentType: wire.contentType,
    contentEncoding: wire.contentEncoding,
    timestamp: wire.timestamp,
    correlationId: wire.correlationId,
    replyTo: wire.replyTo,
    appId: wire.appId,
    priority: wire.priority,
    headers: wire.headers ?? {},
    unreadable: (wire as { unreadable?: boolean }).unreadable,
  };
}
