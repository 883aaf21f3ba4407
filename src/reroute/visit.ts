/** One way through `unrouted`: what is for a queue of this process is sent on, the rest stays in its order. */
import type { Names } from '../../topology/names.ts';
import type { Broker } from '../broker/broker.ts';
import { forwardProperties } from '../core/envelope.ts';
import {
  BlockedError,
  ClosedError,
  DeadlineError,
  PayloadInvalidError,
  PayloadTooLargeError,
  UnroutableError,
} from '../core/errors.ts';
import type { EventBus } from '../core/events.ts';
import type { Buried } from '../dead-letters/letter.ts';
import { lost, UNROUTED } from '../dead-letters/place.ts';
import { take, type Verdict } from '../dead-letters/take.ts';

export interface RerouteResources {
  broker: Pick<Broker, 'admin' | 'publish' | 'subscribe'>;
  bus: EventBus;
  names: Names;
  /** Those that run in this process, by the users' names. */
  queues: readonly string[];
  random(): number;
}

const PUBLISH_DEADLINE_MS = 10_000;
/** Memory for what is held on the way: the oldest 20,000 messages that are for others, or fewer large ones. */
const MOST_BYTES = 64 * 1024 * 1024;

export class RerouteVisit {
  readonly #it: RerouteResources;
  readonly #queues: ReadonlyMap<string, string>;
  /** Queues that take nothing just now: the rest of what is for them stays. */
  readonly #closed = new Set<string>();
  readonly #moved = new Map<string, number>();
  #signal: AbortSignal | undefined;
  #stopped = false;
  /** Something stays that may go home next time. */
  mustReturn = false;
  isOver = false;
  left = 0;
  failure: Error | undefined;

  constructor(resources: RerouteResources, queues: ReadonlyMap<string, string>) {
    this.#it = resources;
    this.#queues = queues;
  }

  get moved(): number {
    return [...this.#moved.values()].reduce((sum, count) => sum + count, 0);
  }

  stop(): void {
    this.#stopped = true;
  }

  /** @throws AdminError */
  async go(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    const { broker, names, bus } = this.#it;
    try {
      const place = { broker, names, queue: UNROUTED };
      const options = { bytes: MOST_BYTES, signal };
      const { total } = await take(
        place,
        Number.POSITIVE_INFINITY,
        (message) => this.#take(message),
        options,
      );
      this.left = total - this.moved;
      this.isOver = true;
    } finally {
      for (const [queue, count] of this.#moved) bus.emit('jobs.rerouted', { queue, count });
    }
  }

  async #take(message: Buried): Promise<Verdict> {
    if (this.#stopped) return 'stop';
    const queue = this.#queues.get(message.routingKey);
    if (queue === undefined || this.#closed.has(queue)) return 'kept';
    try {
      await this.#send(message);
    } catch (error) {
      return this.#refused(queue, error as Error);
    }
    this.#moved.set(queue, (this.#moved.get(queue) ?? 0) + 1);
    // It is in its queue all the same: now it is in both, and nothing is lost.
    if (!message.ack()) throw lost({ ...this.#it, queue: UNROUTED });
    // Acks are written at the end of a turn. Only then comes the next, so that a kill leaves one in both, not two.
    await new Promise(setImmediate);
    return 'taken';
  }

  #send({ body, properties, routingKey }: Buried): Promise<void> {
    const { broker, names } = this.#it;
    return broker.publish(
      { exchange: names.jobs, routingKey, body, properties: forwardProperties(properties) },
      { deadline: PUBLISH_DEADLINE_MS, signal: this.#signal },
    );
  }

  #refused(queue: string, error: Error): Verdict {
    if (error instanceof ClosedError) return 'stop';
    // Gone again: whoever restores it looks again.
    if (!(error instanceof UnroutableError)) this.failure = error;
    if (error instanceof PayloadInvalidError || error instanceof PayloadTooLargeError) return 'kept';
    this.mustReturn = true;
    this.#closed.add(queue);
    return error instanceof BlockedError || error instanceof DeadlineError ? 'stop' : 'kept';
  }
}
