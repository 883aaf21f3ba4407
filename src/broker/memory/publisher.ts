/** Publishing to the memory server: confirmed and routed, or tried again with the same message until the deadline. */

import { LONGEST_TIMER_MS } from '../../core/duration.ts';
import {
  BlockedError,
  ClosedError,
  DeadlineError,
  PayloadInvalidError,
  PayloadTooLargeError,
  type PublishError,
  RefusedError,
  UnroutableError,
} from '../../core/errors.ts';
import type { Headers } from '../../core/message.ts';
import type { Publication, PublishOptions } from '../broker.ts';
import type { Clock } from './clock.ts';
import type { Faults } from './faults.ts';
import type { Link } from './link.ts';
import type { MemoryStore, PublishAnswer } from './store.ts';

const DEFAULT_DEADLINE_MS = 30_000;
const AGAIN_AFTER_MS = 100;
/** What amqplib's encoder holds of a header table. */
const LARGEST_HEADERS = 65_536;
/** RabbitMQ's own limit from 4.0 on; before, it was 128 MiB. */
const LARGEST_BODY = 16 * 1024 * 1024;

export interface PublisherResources {
  link: Link;
  store: MemoryStore;
  faults: Faults;
  clock: Clock;
  /** The reason of the alarm while the server takes nothing. */
  blockedBy(): string | undefined;
}

/** A publish that is not settled yet. */
class Pending {
  readonly publication: Publication;
  /** Not to be sent a second time where its outcome is unknown. */
  readonly once: boolean;
  readonly #settled: (error?: PublishError) => void;
  /** Sent, and no answer came yet. */
  inFlight = false;
  /** The broker said no the last time. */
  refused = false;

  constructor(publication: Publication, once: boolean, settled: (error?: PublishError) => void) {
    this.publication = publication;
    this.once = once;
    this.#settled = settled;
  }

  settle(error?: PublishError): void {
    this.#settled(error);
  }
}

export class MemoryPublisher {
  readonly #it: PublisherResources;
  readonly #pending = new Set<Pending>();
  #closing = false;
  #whenIdle: (() => void) | undefined;

  constructor(resources: PublisherResources) {
    this.#it = resources;
    resources.link.watch({ up: () => this.flush(), down: () => {} });
  }

  publish(
    publication: Publication,
    { deadline = DEFAULT_DEADLINE_MS, signal, once = false }: PublishOptions = {},
  ): Promise<void> {
    const refusal = this.#refusal(publication, signal);
    if (refusal) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      const { clock } = this.#it;
      const aborted = () => pending.settle(closed(publication, 'it was given up'));
      const timer = clock.setTimeout(
        () => pending.settle(this.#tooLate(pending, deadline)),
        Math.min(deadline, LONGEST_TIMER_MS),
      );
      const pending = new Pending(publication, once, (error) => {
        if (!this.#pending.delete(pending)) return;
        clock.clearTimeout(timer);
        signal?.removeEventListener('abort', aborted);
        if (error) reject(error);
        else resolve();
        if (this.#pending.size === 0) this.#whenIdle?.();
      });
      this.#pending.add(pending);
      signal?.addEventListener('abort', aborted);
      this.#try(pending);
    });
  }

  /** Sends what waited for a connection or the end of an alarm, in order. */
  flush(): void {
    for (const pending of [...this.#pending]) this.#try(pending);
  }

  /** Takes nothing new; what is under way has `timeout` ms. */
  async close(timeout: number): Promise<void> {
    this.#closing = true;
    await this.#idleWithin(timeout);
    for (const pending of [...this.#pending])
      pending.settle(closed(pending.publication, 'the broker object was closed'));
  }

  #idleWithin(timeout: number): Promise<void> {
    if (this.#pending.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#it.clock.setTimeout(resolve, timeout);
      this.#whenIdle = () => {
        this.#it.clock.clearTimeout(timer);
        resolve();
      };
    });
  }

  #refusal(publication: Publication, signal: AbortSignal | undefined): PublishError | undefined {
    if (this.#closing) return closed(publication, 'the broker object is closed');
    if (signal?.aborted) return closed(publication, 'it was given up');
    return unsendable(publication);
  }

  #try(pending: Pending): void {
    const { link, store, blockedBy } = this.#it;
    if (pending.inFlight || !this.#pending.has(pending) || !link.isOpen || blockedBy() !== undefined) return;
    const { session } = link;
    pending.inFlight = true;
    const answer = this.#send(pending.publication);
    store.defer(() => {
      pending.inFlight = false;
      if (!this.#pending.has(pending)) return;
      if (link.isOpen && link.session === session) this.#answered(pending, answer);
      else if (pending.once) pending.settle(unknown(pending.publication));
      else this.#try(pending);
    });
  }

  #send(publication: Publication): PublishAnswer {
    const { link, store, faults } = this.#it;
    switch (faults.takePublishFault()) {
      case 'refused':
        return 'refused';
      case 'lost':
        link.drop('the connection went, as ordered, before a message');
        return 'refused';
      case 'unconfirmed':
        store.publish(publication);
        link.drop('the connection went, as ordered, before a confirm');
        return 'refused';
      default:
        return store.publish(publication);
    }
  }

  #answered(pending: Pending, answer: PublishAnswer): void {
    if (answer === 'routed') pending.settle();
    else if (answer === 'unroutable') pending.settle(unroutable(pending.publication));
    else this.#tryLater(pending);
  }

  #tryLater(pending: Pending): void {
    pending.refused = true;
    this.#it.clock.setTimeout(() => this.#try(pending), AGAIN_AFTER_MS);
  }

  #tooLate({ publication, refused }: Pending, deadline: number): PublishError {
    const blockedBy = this.#it.blockedBy();
    const what = shown(publication);
    if (blockedBy !== undefined)
      return new BlockedError(
        `${what} was not sent within ${deadline} ms: the broker takes no messages (${blockedBy})`,
      );
    if (refused)
      return new RefusedError(`${what} was refused by the broker for ${deadline} ms; is a queue full?`);
    return new DeadlineError(
      `${what} was not confirmed within ${deadline} ms; publish it again with the same id`,
    );
  }
}

function unsendable(publication: Publication): PublishError | undefined {
  const { body } = publication;
  if (body.length > LARGEST_BODY)
    return new PayloadTooLargeError(
      `${shown(publication)} has a body of ${body.length} bytes, the limit is ${LARGEST_BODY}`,
    );
  const problem = headersProblem(publication.properties.headers);
  return problem === undefined
    ? undefined
    : new PayloadInvalidError(`${shown(publication)} has headers that cannot be sent: ${problem}`);
}

function headersProblem(headers: Headers): string | undefined {
  try {
    const size = Buffer.byteLength(JSON.stringify(headers));
    return size > LARGEST_HEADERS ? `${size} bytes, AMQP takes ${LARGEST_HEADERS}` : undefined;
  } catch (error) {
    return String(error);
  }
}

function unroutable(publication: Publication): UnroutableError {
  const { exchange, routingKey } = publication;
  return new UnroutableError(
    `${shown(publication)} reached no queue: nothing is bound to exchange '${exchange}' with key '${routingKey}'; ` +
      'declare the topology first',
  );
}

function unknown(publication: Publication): DeadlineError {
  return new DeadlineError(
    `${shown(publication)}: the connection was lost before the confirm; it may or may not be stored`,
  );
}

function closed(publication: Publication, why: string): ClosedError {
  return new ClosedError(`${shown(publication)} was not confirmed: ${why}`);
}

function shown({ properties, routingKey }: Publication): string {
  return `message ${properties.messageId ?? '(without an id)'} for '${routingKey}'`;
}
