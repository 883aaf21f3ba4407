/**
 * Confirmed, mandatory publishing, pipelined on one channel. A publication whose outcome stayed unknown
 * (its channel went before the confirm) is published again with the same id until its deadline.
 */
import { type ConfirmChannel, IllegalOperationError, type Message } from 'amqplib';
import { LONGEST_TIMER_MS } from '../core/duration.ts';
import { ClosedError, type PublishError } from '../core/errors.ts';
import { jittered, Pause, settledWithin } from '../deadline.ts';
import { type Blame, blameFor } from './blame.ts';
import type { Publication, PublishOptions } from './broker.ts';
import type { Connection } from './connection.ts';
import { Entry, wrongNumber } from './entry.ts';
import { Fifo } from './fifo.ts';
import { ObeyedSignals } from './obeyed-signals.ts';
import {
  aborted,
  closed,
  overdue,
  poisonous,
  unconfirmed,
  unencodable,
  unroutable,
} from './publish-errors.ts';

export interface PublisherOptions {
  connection: Connection;
  maxInFlight: number;
  random: () => number;
}

const DEFAULT_DEADLINE_MS = 30_000;
/** Deadlines and rests are looked at no more often than this. */
const SWEEP_EVERY_MS = 20;
/** What the broker refused is tried again after 50 ms, then up to this. */
const LONGEST_REST_MS = 2000;
/** So often may a publication alone on its channel make the broker close it. */
const MOST_STRIKES = 3;

export class Publisher {
  readonly #connection: Connection;
  readonly #maxInFlight: number;
  readonly #random: () => number;
  readonly #pause = new Pause();
  readonly #unwatch: () => void;
  readonly #signals = new ObeyedSignals((entry) => this.#fail(entry, aborted(entry)));
  /** Sent on the current channel and unconfirmed, by delivery tag, hence in the order in which they were sent. */
  #inFlight = new Map<number, Entry>();
  readonly #waiting = new Fifo<Entry>();
  #resting: Entry[] = [];
  #unsettled = 0;
  #channel: ConfirmChannel | undefined;
  #writable = false;
  #lastTag = 0;
  #lowestTag = 1;
  /** How many may be in flight: fewer while one of them makes the broker close the channel. */
  #window: number;
  #opening = false;
  #failures = 0;
  #sweepTimer: NodeJS.Timeout | undefined;
  #sweepAt = Number.POSITIVE_INFINITY;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #onIdle: (() => void) | undefined;

  constructor({ connection, maxInFlight, random }: PublisherOptions) {
    this.#connection = connection;
    this.#maxInFlight = maxInFlight;
    this.#window = maxInFlight;
    this.#random = random;
    this.#unwatch = connection.watch({
      up: () => void this.#keepOpen(),
      unblocked: () => this.#pump(),
      awaits: () => this.#unsettled > 0,
    });
    if (connection.isUp) void this.#keepOpen();
  }

  publish(publication: Publication, options: PublishOptions = {}): Promise<void> {
    const { deadline = DEFAULT_DEADLINE_MS, signal, once = false } = options;
    if (this.#state !== 'open')
      return Promise.reject(new ClosedError('This client is closed: open another one to publish.'));
    return new Promise<void>((resolve, reject) => {
      const startedAt = performance.now();
      const entry = new Entry(
        publication,
        { startedAt, deadline: startedAt + deadline, once },
        resolve,
        reject,
      );
      this.#unsettled++;
      if (signal?.aborted) {
        this.#fail(entry, aborted(entry));
        return;
      }
      if (signal) this.#signals.obey(entry, signal);
      if (entry.deadline < this.#sweepAt) this.#sweepBy(entry.deadline);
      this.#waiting.push(entry);
      if (this.#channel) this.#pump();
      else this.#connection.hurry();
    });
  }

  /** Lets what is under way finish until `timeout` ms have passed, then rejects the rest. Never rejects itself. */
  async close(timeout: number): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    if (this.#unsettled > 0)
      await settledWithin(timeout, new Promise<void>((resolve) => (this.#onIdle = resolve)));
    this.#state = 'closed';
    for (const entry of this.#all()) this.#fail(entry, closed(entry));
    clearTimeout(this.#sweepTimer);
    this.#unwatch();
    this.#pause.end();
  }

  // --- sending ---

  #pump(): void {
    while (
      this.#channel &&
      this.#writable &&
      this.#inFlight.size < this.#window &&
      this.#connection.blockedBy === undefined
    ) {
      const entry = this.#waiting.shift();
      if (entry === undefined) return;
      if (!entry.done) this.#send(this.#channel, entry);
    }
  }

  #send(channel: ConfirmChannel, entry: Entry): void {
    const { exchange, routingKey, body } = entry.publication;
    try {
      this.#writable = channel.publish(exchange, routingKey, body, entry.options);
    } catch (error) {
      // Encoding fails before anything is written, so it harms this publication alone.
      if (!(error instanceof IllegalOperationError)) {
        this.#fail(entry, unencodable(entry, error));
        return;
      }
      this.#waiting.putBack([entry]);
      this.#channelClosed(channel, undefined);
      return;
    }
    entry.sent = true;
    this.#inFlight.set(++this.#lastTag, entry);
  }

  // --- what the broker says ---

  /** An unroutable message comes back before its confirm, and is confirmed all the same. */
  #returned({ fields, properties }: Message): void {
    const { exchange, routingKey, replyText } = fields as Message['fields'] & { replyText?: string };
    let meant: Entry | undefined;
    for (const entry of this.#inFlight.values()) {
      const { publication } = entry;
      if (entry.returned !== undefined) continue;
      if (publication.exchange !== exchange || publication.routingKey !== routingKey) continue;
      // Should an id come back as another, the first that goes the same way is refused: none may pass for kept.
      meant ??= entry;
      if (publication.properties.messageId !== properties.messageId) continue;
      meant = entry;
      break;
    }
    if (meant) meant.returned = replyText ?? 'unroutable';
  }

  #answered(tag: number, multiple: boolean, settle: (entry: Entry) => void): void {
    for (let each = multiple ? this.#lowestTag : tag; each <= tag; each++) {
      const entry = this.#inFlight.get(each);
      if (entry === undefined) continue;
      this.#inFlight.delete(each);
      if (!entry.done) settle(entry);
    }
    if (multiple || tag === this.#lowestTag) {
      this.#lowestTag = tag + 1;
      while (this.#lowestTag <= this.#lastTag && !this.#inFlight.has(this.#lowestTag)) this.#lowestTag++;
    }
    this.#failures = 0;
    if (this.#window < this.#maxInFlight) this.#window = Math.min(this.#maxInFlight, this.#window * 2);
    this.#pump();
  }

  readonly #confirmed = (entry: Entry): void => {
    if (entry.returned !== undefined) {
      this.#fail(entry, unroutable(entry, entry.returned));
      return;
    }
    entry.succeed();
    this.#settled();
  };

  readonly #nacked = (entry: Entry): void => {
    const hopeless = this.#hopeless(entry);
    if (hopeless) {
      this.#fail(entry, hopeless);
      return;
    }
    entry.refused = 'it answered with basic.nack';
    entry.refusals++;
    entry.restsUntil = performance.now() + 25 + jittered(entry.refusals, this.#random, 50, LONGEST_REST_MS);
    this.#resting.push(entry);
    this.#sweepBy(entry.restsUntil);
  };

  #hopeless(entry: Entry): PublishError | undefined {
    if (entry.returned !== undefined) return unroutable(entry, entry.returned);
    const wrong = wrongNumber(entry.publication.properties.headers);
    return wrong === undefined ? undefined : unencodable(entry, new TypeError(wrong));
  }

  // --- the channel ---

  async #keepOpen(): Promise<void> {
    if (this.#opening) return;
    this.#opening = true;
    while (!this.#channel && this.#connection.isUp && this.#state !== 'closed') {
      await this.#pause.take(jittered(this.#failures, this.#random));
      try {
        this.#use(await this.#connection.openConfirmChannel());
      } catch {
        this.#failures++;
      }
    }
    this.#opening = false;
  }

  #use(channel: ConfirmChannel): void {
    let error: Error | undefined;
    channel.on('error', (cause) => (error = cause));
    channel.on('close', () => this.#channelClosed(channel, error));
    channel.on('return', (message) => this.#returned(message));
    channel.on('ack', ({ deliveryTag, multiple }) => this.#answered(deliveryTag, multiple, this.#confirmed));
    channel.on('nack', ({ deliveryTag, multiple }) => this.#answered(deliveryTag, multiple, this.#nacked));
    channel.on('drain', () => {
      this.#writable = true;
      this.#pump();
    });
    this.#channel = channel;
    this.#writable = true;
    this.#lastTag = 0;
    this.#lowestTag = 1;
    this.#pump();
  }

  /** Nothing in flight will be confirmed now. What the broker blames is rejected, the rest is published again. */
  #channelClosed(channel: ConfirmChannel, error: Error | undefined): void {
    if (this.#channel !== channel) return;
    this.#channel = undefined;
    const unknown = [...this.#inFlight.values()].filter(({ done }) => !done);
    this.#inFlight.clear();
    if (error) {
      this.#failures++;
      this.#blame(unknown, blameFor(error));
    }
    for (const entry of unknown) {
      if (entry.once) this.#fail(entry, unconfirmed(entry));
      entry.returned = undefined;
    }
    this.#waiting.putBack(unknown.filter(({ done }) => !done));
    void this.#keepOpen();
  }

  #blame(unknown: readonly Entry[], blame: Blame): void {
    const guilty = unknown.filter((entry) => blame.concerns(entry));
    for (const entry of guilty) this.#fail(entry, blame.error(entry));
    if (guilty.length > 0) return;
    // The broker does not say whose fault it is: one is sent at a time until it is found.
    this.#window = 1;
    const [only, ...others] = unknown;
    if (only && others.length === 0 && ++only.strikes >= MOST_STRIKES)
      this.#fail(only, poisonous(only, blame.words));
  }

  // --- deadlines ---

  #sweepBy(moment: number): void {
    if (moment >= this.#sweepAt) return;
    clearTimeout(this.#sweepTimer);
    const now = performance.now();
    this.#sweepAt = Math.max(moment, now + SWEEP_EVERY_MS);
    this.#sweepTimer = setTimeout(
      () => this.#sweep(),
      Math.min(LONGEST_TIMER_MS, Math.ceil(this.#sweepAt - now)),
    );
  }

  /** Rejects what is overdue and wakes what has rested. One timer for all, set to the earliest of them. */
  #sweep(): void {
    this.#sweepAt = Number.POSITIVE_INFINITY;
    const now = performance.now();
    let next = Number.POSITIVE_INFINITY;
    for (const entry of this.#all()) {
      if (entry.done) continue;
      if (entry.deadline <= now) this.#fail(entry, overdue(entry, this.#connection));
      else next = Math.min(next, entry.deadline);
    }
    // Given up, it must not keep its place: a queue that never answers would stop all others.
    for (const [tag, { done }] of this.#inFlight) if (done) this.#inFlight.delete(tag);
    this.#waiting.drop(({ done }) => done);
    const resting = this.#resting.filter(({ done }) => !done);
    this.#resting = resting.filter(({ restsUntil }) => restsUntil > now);
    for (const entry of resting) if (entry.restsUntil <= now) this.#waiting.push(entry);
    for (const { restsUntil } of this.#resting) next = Math.min(next, restsUntil);
    if (next < Number.POSITIVE_INFINITY) this.#sweepBy(next);
    this.#pump();
  }

  // --- settling ---

  #all(): Entry[] {
    return [...this.#inFlight.values(), ...this.#waiting, ...this.#resting];
  }

  #fail(entry: Entry, error: PublishError): void {
    if (entry.done) return;
    entry.fail(error);
    this.#settled();
  }

  #settled(): void {
    this.#unsettled--;
    if (this.#unsettled === 0) this.#onIdle?.();
  }
}
