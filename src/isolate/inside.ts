/** A child from within: it runs one job after the other, by the same steps as the worker would, and tells its parent. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { type Names, namesFor } from '../../topology/names.ts';
import type { Broker, Publication, PublishOptions } from '../broker/broker.ts';
import { BrokerClient } from '../client.ts';
import { middlewareOf } from '../config.ts';
import { traceOf } from '../core/envelope.ts';
import { EventBus } from '../core/events.ts';
import { readHeaders } from '../core/headers.ts';
import { composed, type Middleware } from '../core/middleware.ts';
import { decide, type RunResult } from '../core/outcome.ts';
import { Registry } from '../core/registry.ts';
import type { Enqueue, JobLog } from '../job.ts';
import { Levels } from '../levels.ts';
import { loadJobClasses } from '../load-workers.ts';
import { Attempt, type AttemptResources, currentAttempt, type JobIdentity } from '../run/attempt.ts';
import { type Decoded, decode } from '../run/decode.ts';
import { plainFields, plainValue } from './plain.ts';
import type { Birth, Down, Ending, RunOrder, Up } from './protocol.ts';
import { abortReason, publishErrorFrom, toWire } from './wire-error.ts';

/** The way to the parent. */
export interface Port {
  post(message: Up): void;
  onMessage(hear: (message: Down) => void): void;
}

export class Inside implements AttemptResources {
  readonly #port: Port;
  readonly #bus = new EventBus();
  readonly #calls = new Map<number, { resolve(): void; reject(error: Error): void }>();
  #call = 0;
  #registry = new Registry([]);
  #client: BrokerClient | undefined;
  #running: Attempt | undefined;
  readonly #runs = new WeakMap<Attempt, number>();
  /** Which run enqueues: a job may still do so when the next one runs here. */
  readonly #asking = new AsyncLocalStorage<number>();
  /** The abort that came while the payload was checked. */
  #abortedBy: Error | undefined;
  #broken = false;
  middleware: Middleware | undefined;

  constructor(port: Port) {
    this.#port = port;
  }

  async open({ workers, config, limits }: Birth): Promise<void> {
    this.#catchStrays();
    this.#forwardEvents();
    const broker: Pick<Broker, 'publish'> = { publish: (...what) => this.#publish(...what) };
    const levels = new RemoteLevels(namesFor(limits.namespace), (...what) => this.#publish(...what, true));
    this.#client = new BrokerClient(broker as Broker, limits, this.#bus, levels);
    this.#port.onMessage((message) => this.#hear(message));
    try {
      this.middleware = composed(config === undefined ? [] : await middlewareOf(config));
      this.#registry = new Registry(await loadJobClasses(workers));
      this.#port.post({ kind: 'ready', jobs: this.#registry.all.map(({ name }) => name) });
    } catch (error) {
      this.#port.post({ kind: 'unable', error: toWire(error) });
    }
  }

  #hear(message: Down): void {
    if (message.kind === 'run') void this.#run(message.order);
    else if (message.kind === 'abort') this.#abort(abortReason(message.reason));
    else if (message.kind === 'ping') this.#port.post({ kind: 'pong' });
    else {
      const call = this.#calls.get(message.call);
      this.#calls.delete(message.call);
      if (message.error) call?.reject(publishErrorFrom(message.error));
      else call?.resolve();
    }
  }

  // --- a run ---

  async #run(order: RunOrder): Promise<void> {
    this.#port.post({ kind: 'took' });
    this.#abortedBy = undefined;
    const delivery = deliveryOf(order);
    const decoded = await decode(delivery, this.#registry);
    if (!decoded.ok) this.#end({ kind: 'unfit', reason: decoded.reason, error: decoded.error });
    else this.#perform(order, delivery, decoded);
  }

  #perform(
    { run, id, queue, now }: RunOrder,
    delivery: ReturnType<typeof deliveryOf>,
    { registration, payload }: Extract<Decoded, { ok: true }>,
  ): void {
    const headers = readHeaders(delivery.properties, now);
    // The time limit is the parent's to keep: a loop here would not let it strike.
    const about = { id, queue, registration: { ...registration, timeoutMs: undefined }, headers, now };
    const attempt = new Attempt(delivery, about, this);
    this.#running = attempt;
    this.#runs.set(attempt, run);
    this.#port.post({ kind: 'began' });
    if (this.#abortedBy) attempt.abort(this.#abortedBy);
    attempt.start(payload, (_, result) => {
      this.#running = undefined;
      this.#end(endingOf(result, attempt));
    });
  }

  #abort(reason: Error): void {
    this.#abortedBy = reason;
    this.#running?.abort(reason);
  }

  #end(ending: Ending): void {
    this.#port.post({ kind: 'ended', ending, broken: this.#broken });
  }

  // --- what a job may ask for ---

  enqueueFor(attempt: Attempt): Enqueue {
    const { headers } = attempt.delivery.properties;
    const enqueue = (this.#client as BrokerClient).enqueueAlong(traceOf(headers));
    const run = this.#runs.get(attempt) ?? 0;
    const ask = (...what: Parameters<Enqueue>) => this.#asking.run(run, enqueue, ...what);
    return ask as Enqueue;
  }

  logFor(attempt: JobIdentity): JobLog {
    const about = identityOf(attempt);
    const write = (level: keyof JobLog) => (message: string, fields?: object) =>
      this.#port.post({ kind: 'log', about, level, message: String(message), fields: plainFields(fields) });
    return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  }

  progressOf(attempt: JobIdentity, value: unknown): void {
    this.#port.post({ kind: 'progress', about: identityOf(attempt), value: plainValue(value) });
  }

  #publish(
    publication: Publication,
    { deadline, signal }: PublishOptions = {},
    waits = false,
  ): Promise<void> {
    const call = ++this.#call;
    const run = this.#asking.getStore() ?? 0;
    const forget = () => this.#port.post({ kind: 'forget', call });
    return new Promise<void>((resolve, reject) => {
      this.#calls.set(call, { resolve, reject });
      this.#port.post({ kind: 'publish', run, call, publication, deadline, waits });
      if (signal?.aborted) forget();
      signal?.addEventListener('abort', forget, { once: true });
    }).finally(() => signal?.removeEventListener('abort', forget));
  }

  #forwardEvents(): void {
    this.#bus.on('job.enqueued', (event) => this.#port.post({ kind: 'enqueued', event }));
    this.#bus.on('publish.failed', ({ error, ...event }) =>
      this.#port.post({ kind: 'publish-failed', event, error: toWire(error) }),
    );
  }

  // --- errors that nobody caught ---

  /** Only one job runs here, so that what nobody else owns is its own. */
  #catchStrays(): void {
    const blame = (error: unknown) => {
      const owner = currentAttempt() ?? this.#running;
      if (!owner || owner.ended)
        this.#port.post({ kind: 'stray', id: owner?.id, job: owner?.job, error: toWire(error) });
      else {
        // The rest of it goes on, beside whoever came next.
        this.#broken = true;
        owner.end({ kind: 'threw', error });
      }
    };
    process.on('unhandledRejection', blame);
    process.on('uncaughtException', blame);
  }
}

type Publish = (publication: Publication, options: PublishOptions) => Promise<void>;

/** The maths is done here; only the parent can declare what is missing. */
class RemoteLevels extends Levels {
  readonly #publish: Publish;

  constructor(names: Names, publish: Publish) {
    super({ broker: { publish, admin: noAdmin }, names, mayDeclare: false });
    this.#publish = publish;
  }

  override publish(make: () => Publication, options: PublishOptions = {}): Promise<void> {
    return this.#publish(make(), options);
  }
}

function noAdmin(): never {
  throw new Error('a child has no connection');
}

/** A policy looks at the error itself, whose class does not cross the boundary: so it is asked here. */
function endingOf(result: RunResult, { headers, registration }: Attempt): Ending {
  const outcome = decide(result, headers.attempt, registration.policy);
  if (result.kind === 'threw') return { kind: 'threw', outcome, error: toWire(result.error) };
  return { kind: result.kind === 'released' ? 'released' : 'returned', outcome };
}

/** Of an attempt, which holds much more. */
function identityOf({ id, job, queue, attempt }: JobIdentity): JobIdentity {
  return { id, job, queue, attempt };
}

/** Settled by the parent. */
function deliveryOf({ body, properties, redelivered, deliveryCount, exchange, routingKey }: RunOrder) {
  return {
    body: Buffer.from(body.buffer, body.byteOffset, body.byteLength),
    properties,
    redelivered,
    deliveryCount,
    exchange,
    routingKey,
    live: true,
    ack: () => false,
    release: () => false,
    reject: () => false,
  };
}
