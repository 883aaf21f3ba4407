/** Declaring, looking and pulling, on a channel that may be lost by a refusal. */
import type { Channel } from 'amqplib';
import type { BindingSpec, ExchangeSpec, LinkSpec, QueueSpec } from '../../topology/plan.ts';
import { messageOf, within } from '../deadline.ts';
import {
  type AdminChannel,
  AdminError,
  type AdminFailure,
  type PulledMessage,
  type QueueCounts,
} from './broker.ts';
import { readProperties } from './delivery.ts';
import { at, MOST_COMMANDS, settled, startClose } from './settled.ts';

const CALL_MS = 10_000;
/** How long to look for messages to be back before the rest is given back all the same. */
const BACK_MS = 5000;

const FAILURES: Record<number, AdminFailure> = { 403: 'forbidden', 404: 'missing', 406: 'different' };

export class RabbitAdminChannel implements AdminChannel {
  readonly #channel: Channel;
  #acks = 0;
  #failed = false;
  /** Tags of what was taken and not settled, ascending. */
  readonly #held = new Set<number>();
  #pulledFrom = '';

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Gives back what was taken and not settled, in its order. */
  async close(timeout: number): Promise<void> {
    // A refusal has closed it, and where there was no answer there will be none now.
    if (this.#failed) startClose(this.#channel).catch(() => {});
    else await within(timeout, 'closing a channel', this.#leave(timeout));
  }

  async #leave(timeout: number): Promise<void> {
    if (this.#acks >= MOST_COMMANDS) await settled(this.#channel, this.#pulledFrom, timeout);
    if (this.#held.size > 0) await this.#giveBack([...this.#held]);
    await this.#channel.close();
  }

  /**
   * Each pull is a consumer of its own to a quorum queue, and when its channel closes it takes them back in the
   * order of their names, '10' before '2'. So each is given back by itself, and no more at once than a channel
   * passes on without keeping some for itself: the count of ready messages tells when they have arrived.
   */
  async #giveBack(tags: readonly number[]): Promise<void> {
    let { messageCount: ready } = await this.#channel.checkQueue(this.#pulledFrom);
    let counted = true;
    for (let first = 0; first < tags.length; first += MOST_COMMANDS) {
      const some = tags.slice(first, first + MOST_COMMANDS);
      for (const tag of some) this.#channel.nack(at(tag), false, true);
      ready += some.length;
      counted = counted && (await this.#isBack(ready));
    }
  }

  /** Where others consume the count never comes about; there the order is theirs, too. */
  async #isBack(ready: number): Promise<boolean> {
    const until = performance.now() + BACK_MS;
    while (performance.now() < until) {
      const { messageCount } = await this.#channel.checkQueue(this.#pulledFrom);
      if (messageCount >= ready) return true;
    }
    return false;
  }

  async declareExchange({ name, type, arguments: args }: ExchangeSpec): Promise<void> {
    await this.#call(`declaring exchange '${name}'`, () =>
      this.#channel.assertExchange(name, type, { durable: true, arguments: args }),
    );
  }

  async declareQueue({ name, arguments: args }: QueueSpec): Promise<QueueCounts> {
    return counts(
      await this.#call(`declaring queue '${name}'`, () =>
        this.#channel.assertQueue(name, { durable: true, arguments: args }),
      ),
    );
  }

  async bind({ exchange, queue, routingKey }: BindingSpec): Promise<void> {
    await this.#call(`binding queue '${queue}' to exchange '${exchange}'`, () =>
      this.#channel.bindQueue(queue, exchange, routingKey),
    );
  }

  async link({ from, to, routingKey }: LinkSpec): Promise<void> {
    await this.#call(`binding exchange '${to}' to exchange '${from}'`, () =>
      this.#channel.bindExchange(to, from, routingKey),
    );
  }

  async checkExchange(name: string): Promise<void> {
    await this.#call(`looking for exchange '${name}'`, () => this.#channel.checkExchange(name));
  }

  async checkQueue(name: string): Promise<QueueCounts> {
    return counts(await this.#call(`looking for queue '${name}'`, () => this.#channel.checkQueue(name)));
  }

  async deleteQueue(name: string, { ifEmpty = false }: { ifEmpty?: boolean } = {}): Promise<void> {
    const what = `deleting queue '${name}'`;
    if (ifEmpty && !(await this.#isEmpty(name)))
      throw new AdminError('different', `${what} failed: it is not empty`);
    await this.#call(what, () => this.#channel.deleteQueue(name));
  }

  /**
   * `if-empty` itself is not implemented for quorum queues and takes the whole connection along (540, 3.10 to 4.3).
   * A passive declare says 0 also when the queue's leader is slow to answer; a get waits for it.
   */
  async #isEmpty(name: string): Promise<boolean> {
    const { ready } = await this.checkQueue(name);
    return ready === 0 && (await this.get(name)) === undefined;
  }

  async deleteExchange(name: string): Promise<void> {
    await this.#call(`deleting exchange '${name}'`, () => this.#channel.deleteExchange(name));
  }

  async get(queue: string): Promise<PulledMessage | undefined> {
    const message = await this.#call(`taking a message from queue '${queue}'`, () =>
      this.#channel.get(queue),
    );
    if (message === false) return undefined;
    this.#pulledFrom = queue;
    this.#held.add(message.fields.deliveryTag);
    const { fields, properties, content } = message;
    return {
      body: content,
      properties: readProperties(properties),
      redelivered: fields.redelivered,
      exchange: fields.exchange,
      routingKey: fields.routingKey,
      remaining: fields.messageCount,
      ack: () => {
        if (!this.#held.delete(message.fields.deliveryTag)) return;
        this.#acks++;
        this.#channel.ack(message);
      },
    };
  }

  async #call<T>(what: string, call: () => Promise<T>): Promise<T> {
    try {
      return await within(CALL_MS, what, call());
    } catch (error) {
      this.#failed = true;
      const failure = FAILURES[(error as { code?: number }).code ?? 0] ?? 'unavailable';
      throw new AdminError(failure, `${what} failed: ${messageOf(error)}`);
    }
  }
}

function counts({
  messageCount,
  consumerCount,
}: {
  messageCount: number;
  consumerCount: number;
}): QueueCounts {
  return { ready: messageCount, consumers: consumerCount };
}
