/**
 * The same job as warren's by amqplib alone, with the same guarantees: persistent, mandatory and confirmed
 * publishes whose returns are matched to their confirms; manual acks after the work; a retry copy that is
 * confirmed before its original is acked; publishing and consuming on connections of their own. What it leaves
 * out is all that makes a job system bearable: reconnecting, deadlines, checks, events, drain, dead queues.
 */
import { type ChannelModel, type ConfirmChannel, type ConsumeMessage, connect, type Options } from 'amqplib';
import { v7 } from 'uuid';
import { type Names, namesFor } from '../topology/names.ts';
import {
  JOB,
  type Payload,
  type Rig,
  type RigOptions,
  RUNG_MS,
  type Sender,
  type Worker,
  type WorkerOptions,
} from './rig.ts';

export interface BareOptions extends RigOptions {
  /** Acks with `multiple` over finished runs once a turn of the event loop, and `noDelay` on the socket. */
  gathered: boolean;
}

/** A quorum queue's client keeps 32 commands in flight: an ack handed over just before a close can be lost. */
const ACKS_TRAVEL_MS = 200;

export class Bare implements Rig {
  readonly #options: BareOptions;
  readonly #names: Names;

  constructor(options: BareOptions) {
    this.#options = options;
    this.#names = namesFor(options.namespace);
  }

  async sender(queue: string): Promise<Sender> {
    const connection = await this.#connect();
    const publisher = new Publisher(await connection.createConfirmChannel());
    const { jobs } = this.#names;
    const key = this.#names.queue(queue);
    const send = (payload: Payload) => {
      const properties = firstProperties();
      return publisher.publish(jobs, key, Buffer.from(JSON.stringify(payload)), properties);
    };
    return { send, sendMany: (payloads) => Promise.all(payloads.map(send)), close: () => connection.close() };
  }

  async worker({ queue, concurrency, perform, retried }: WorkerOptions): Promise<Worker> {
    const consuming = await this.#connect();
    const publishing = await this.#connect();
    const publisher = new Publisher(await publishing.createConfirmChannel());
    const channel = await consuming.createChannel();
    const key = this.#names.queue(queue);
    const rung = this.#names.delay(RUNG_MS);
    const acks = this.#options.gathered ? new GatheredAcks((tag) => channel.ack(upTo(tag), true)) : undefined;

    async function run(message: ConsumeMessage): Promise<void> {
      const attempt = Number(message.properties.headers?.['warren-attempt'] ?? 1);
      try {
        await perform(JSON.parse(message.content.toString('utf8')) as Payload, attempt);
      } catch (error) {
        await publisher.publish(
          rung,
          key,
          message.content,
          retryProperties(message, attempt, error as Error),
        );
        retried?.();
      }
      if (acks) acks.done(message.fields.deliveryTag);
      else channel.ack(message);
    }

    await channel.prefetch(concurrency);
    const { consumerTag } = await channel.consume(key, (message) => message && void run(message));
    return {
      stop: async () => {
        await channel.cancel(consumerTag);
        await new Promise((resolve) => setTimeout(resolve, ACKS_TRAVEL_MS));
        await channel.close();
        await Promise.all([consuming.close(), publishing.close()]);
      },
    };
  }

  #connect(): Promise<ChannelModel> {
    return connect(this.#options.url, { noDelay: this.#options.gathered });
  }
}

/** Confirms that count only when nothing came back: RabbitMQ confirms what it could not route, after returning it. */
class Publisher {
  readonly #channel: ConfirmChannel;
  readonly #returned = new Set<string>();

  constructor(channel: ConfirmChannel) {
    this.#channel = channel;
    channel.on('return', ({ properties }) => this.#returned.add(properties.messageId));
  }

  publish(
    exchange: string,
    key: string,
    body: Buffer,
    properties: Options.Publish & { messageId: string },
  ): Promise<string> {
    const id = properties.messageId;
    return new Promise((resolve, reject) => {
      this.#channel.publish(exchange, key, body, properties, (error) => {
        if (error) reject(error);
        else if (this.#returned.delete(id)) reject(new Error(`nothing takes ${key}`));
        else resolve(id);
      });
    });
  }
}

/** Acks are cumulative only over a run without gaps, so a finished job waits for those delivered before it. */
class GatheredAcks {
  readonly #send: (tag: number) => void;
  readonly #finished = new Set<number>();
  #next = 1;
  #planned = false;

  constructor(send: (tag: number) => void) {
    this.#send = send;
  }

  done(tag: number): void {
    this.#finished.add(tag);
    if (this.#planned) return;
    this.#planned = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#planned = false;
    const before = this.#next;
    while (this.#finished.delete(this.#next)) this.#next++;
    if (this.#next > before) this.#send(this.#next - 1);
  }
}

/** amqplib's ack reads nothing of a message but its tag. */
function upTo(deliveryTag: number): ConsumeMessage {
  return { fields: { deliveryTag } } as ConsumeMessage;
}

function firstProperties(): Options.Publish & { messageId: string } {
  const now = Date.now();
  return {
    mandatory: true,
    persistent: true,
    messageId: v7(),
    type: JOB,
    contentType: 'application/json',
    timestamp: Math.floor(now / 1000),
    headers: { 'warren-attempt': 1, 'warren-enqueued-at': now },
  };
}

function retryProperties(
  { properties }: ConsumeMessage,
  attempt: number,
  { name, message, stack = '' }: Error,
): Options.Publish & { messageId: string } {
  return {
    mandatory: true,
    persistent: true,
    messageId: properties.messageId,
    type: properties.type,
    contentType: properties.contentType,
    timestamp: properties.timestamp,
    headers: {
      ...properties.headers,
      'warren-attempt': attempt + 1,
      'warren-due-at': Date.now() + RUNG_MS,
      'warren-error': { name, message, stack },
    },
  };
}
