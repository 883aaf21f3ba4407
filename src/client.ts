/** enqueue → a confirmed, routed publish. */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { levelSeconds } from '../topology/levels.ts';
import { checkQueueName, type Names, namesFor } from '../topology/names.ts';
import type { Broker, Publication } from './broker/broker.ts';
import { createRabbitBroker } from './broker/rabbitmq.ts';
import { type ClientSettings, resolveClientSettings } from './config.ts';
import { dueMoment } from './core/due.ts';
import { parseDuration } from './core/duration.ts';
import { jobProperties, LONGEST_SHORT_STRING } from './core/envelope.ts';
import { recordError } from './core/error-record.ts';
import {
  ConfigurationError,
  EnqueueManyError,
  PayloadInvalidError,
  PayloadTooLargeError,
  PublishError,
} from './core/errors.ts';
import { EventBus, type EventName, type Listener } from './core/events.ts';
import type { Headers } from './core/message.ts';
import { DEFAULT_QUEUE } from './core/registry.ts';
import {
  type Enqueue,
  type Enqueued,
  type EnqueueOptions,
  isJobClass,
  type JobClass,
  jobNameOf,
} from './job.ts';
import { Levels, LONGEST_LEVELS_MS } from './levels.ts';
import { newId } from './new-id.ts';
import type { ClientOptions } from './options.ts';
import { validate } from './run/decode.ts';

export interface Client {
  /**
   * Resolves when the broker has confirmed the job and routed it to a durable queue.
   * Until its deadline (30 s) an unknown outcome is tried again with the same id.
   * With `in` or `at` the broker holds it until then; whether its queue exists is seen only when it falls due.
   * @throws PublishError: unroutable, blocked, deadline, refused, closed, payload invalid, payload too large
   * @throws ConfigurationError for what is no job, queue, moment or duration
   */
  readonly enqueue: Enqueue;
  /**
   * Many jobs of one class, pipelined. All payloads are checked before the first is sent.
   * @throws PayloadInvalidError, PayloadTooLargeError when nothing was sent
   * @throws EnqueueManyError when some were not kept; it says which
   */
  enqueueMany<Payload>(
    job: JobClass<Payload> | string,
    payloads: readonly Payload[],
    options?: Omit<EnqueueOptions, 'id'>,
  ): Promise<Enqueued[]>;
  /** Subscribes to what happens; returns the function that ends the subscription. */
  on<E extends EventName>(event: E, listener: Listener<E>): () => void;
  /** Lets enqueues under way finish for at most 10 s, then closes the connection. */
  close(): Promise<void>;
}

/** A broker object may be given instead of a URL: the memory broker, in tests. */
export type CreateClientOptions = ClientOptions & { broker?: Broker | undefined };

/**
 * Connects, and keeps connected until closed.
 * @throws ConfigurationError
 * @throws BrokerUnreachableError when `connectTimeout` (10 s) is over
 */
export async function createClient(options: CreateClientOptions = {}): Promise<Client> {
  const settings = resolveClientSettings(options);
  const broker =
    options.broker ?? createRabbitBroker({ urls: settings.urls, maxInFlight: settings.maxInFlight });
  await broker.connect({ timeout: settings.connectTimeoutMs, roles: ['publishing'] });
  return new BrokerClient(broker, settings, new EventBus());
}

const CLOSE_MS = 10_000;

type Limits = Pick<ClientSettings, 'namespace' | 'maxPayload' | 'deadlineMs' | 'maxInFlight'>;

const MOST_QUEUES_KNOWN = 1000;

interface About {
  name: string;
  queue: string;
  schema?: StandardSchemaV1 | undefined;
}

interface Outgoing {
  id: string;
  name: string;
  queue: string;
  body: Buffer;
  /** When it is to run, ms since 1970; undefined: now. */
  dueAt: number | undefined;
}

export class BrokerClient implements Client {
  readonly #broker: Broker;
  readonly #limits: Limits;
  readonly #names: Names;
  readonly #levels: Levels;
  readonly #bus: EventBus;
  readonly #queues = new Set<string>();

  constructor(broker: Broker, limits: Limits, bus: EventBus, levels?: Levels) {
    this.#broker = broker;
    this.#limits = limits;
    this.#names = namesFor(limits.namespace);
    this.#levels = levels ?? new Levels({ broker, names: this.#names, mayDeclare: true });
    this.#bus = bus;
  }

  readonly enqueue: Enqueue = this.enqueueAlong({});

  /** `enqueue` with these headers on each message. */
  enqueueAlong(headers: Headers): Enqueue {
    return async (job: JobClass | string, payload: unknown, options: EnqueueOptions = {}) => {
      const { name, queue, schema } = this.#about(job, options);
      const dueAt = dueMoment(options, Date.now(), LONGEST_LEVELS_MS);
      const id = options.id === undefined ? newId() : checkedId(options.id, name);
      try {
        // No await where there is nothing to wait for: this is the hot path.
        const body = schema ? await this.#checked(schema, name, payload) : this.#encode(name, payload);
        return await this.#send({ id, name, queue, body, dueAt }, options, headers);
      } catch (error) {
        throw this.#failed({ id, name, queue }, error);
      }
    };
  }

  async enqueueMany<Payload>(
    job: JobClass<Payload> | string,
    payloads: readonly Payload[],
    options: Omit<EnqueueOptions, 'id'> = {},
  ): Promise<Enqueued[]> {
    const { name, queue, schema } = this.#about(job, options);
    checkMany(payloads, options);
    const dueAt = dueMoment(options, Date.now(), LONGEST_LEVELS_MS);
    const jobs: Outgoing[] = [];
    for (const payload of payloads) {
      const id = newId();
      try {
        const body = schema ? await this.#checked(schema, name, payload) : this.#encode(name, payload);
        jobs.push({ id, name, queue, body, dueAt });
      } catch (error) {
        throw this.#failed({ id, name, queue }, error);
      }
    }
    return this.#sendAll(jobs, options);
  }

  /** In windows, so that a million jobs do not make a million promises at once. */
  async #sendAll(jobs: Outgoing[], options: EnqueueOptions): Promise<Enqueued[]> {
    const results: (Enqueued | PublishError)[] = new Array(jobs.length);
    let next = 0;
    const sendOn = async () => {
      for (let index = next++; index < jobs.length; index = next++) {
        const job = jobs[index] as Outgoing;
        results[index] = await this.#send(job, options, {}).catch((error) => this.#failed(job, error));
      }
    };
    const width = Math.min(this.#limits.maxInFlight, jobs.length);
    await Promise.all(Array.from({ length: width }, sendOn));
    return keptOrThrow(results, jobs);
  }

  on<E extends EventName>(event: E, listener: Listener<E>): () => void {
    return this.#bus.on(event, listener);
  }

  async close(): Promise<void> {
    await this.#broker.close(CLOSE_MS);
  }

  #about(job: JobClass | string, options: EnqueueOptions): About {
    checkOptions(options);
    if (typeof job === 'string')
      return { name: checkedName(job), queue: this.#queue(options.queue ?? DEFAULT_QUEUE) };
    if (!isJobClass(job)) throw noJob(job);
    const queue = this.#queue(options.queue ?? job.queue ?? DEFAULT_QUEUE);
    return { name: checkedName(jobNameOf(job)), queue, schema: job.payload };
  }

  /** Checked once a name. */
  #queue(queue: string): string {
    if (this.#queues.has(queue)) return queue;
    if (this.#queues.size >= MOST_QUEUES_KNOWN) this.#queues.clear();
    this.#queues.add(checkQueueName(queue));
    return queue;
  }

  async #checked(schema: StandardSchemaV1, name: string, payload: unknown): Promise<Buffer> {
    const checked = await validate(schema, payload);
    if ('value' in checked) return this.#encode(name, payload);
    throw new PayloadInvalidError(`the payload of ${name} does not fit its schema: ${checked.problem}`);
  }

  #encode(name: string, payload: unknown): Buffer {
    return this.#sized(Buffer.from(toJson(payload, name)), name);
  }

  #sized(body: Buffer, name: string): Buffer {
    if (body.length > this.#limits.maxPayload)
      throw new PayloadTooLargeError(
        `the payload of ${name} is ${body.length} bytes of JSON, the limit is ${this.#limits.maxPayload}; ` +
          'store it elsewhere and enqueue a reference, or raise maxPayload',
      );
    return body;
  }

  async #send(job: Outgoing, options: EnqueueOptions, headers: Headers): Promise<Enqueued> {
    const { id, name, queue, dueAt } = job;
    const started = performance.now();
    const how = { deadline: this.#deadline(options), signal: options.signal };
    if (dueAt === undefined) await this.#broker.publish(this.#message(job, headers), how);
    else await this.#levels.publish(() => this.#waiting(job, dueAt, headers), how);
    const durationMs = performance.now() - started;
    this.#bus.emit('job.enqueued', { id, job: name, queue, durationMs, dueAt });
    return { id, queue };
  }

  #message({ id, name, queue, body }: Outgoing, headers: Headers): Publication {
    return {
      exchange: this.#names.jobs,
      routingKey: this.#names.queue(queue),
      body,
      properties: jobProperties({ id, name, now: Date.now(), headers }),
    };
  }

  /** What is left of the wait: of many that are sent together the last ones wait less. */
  #waiting(job: Outgoing, dueAt: number, headers: Headers): Publication {
    const { id, name, queue, body } = job;
    const now = Date.now();
    const seconds = levelSeconds(dueAt - now);
    if (seconds === 0) return this.#message(job, headers);
    const properties = jobProperties({ id, name, now, dueAt: now + seconds * 1000, headers });
    return this.#levels.delayed({ routingKey: this.#names.queue(queue), body, properties }, seconds);
  }

  /** Tells of it; anything but a PublishError is a fault of ours, and thrown. */
  #failed({ id, name, queue }: Pick<Outgoing, 'id' | 'name' | 'queue'>, error: unknown): PublishError {
    if (!(error instanceof PublishError)) throw error;
    this.#bus.emit('publish.failed', { id, job: name, queue, reason: error.reason, error });
    return error;
  }

  #deadline({ deadline }: EnqueueOptions): number {
    return deadline === undefined ? this.#limits.deadlineMs : parseDuration(deadline, 'deadline');
  }
}

function keptOrThrow(results: (Enqueued | PublishError)[], jobs: Outgoing[]): Enqueued[] {
  const kept = results.filter((result): result is Enqueued => !(result instanceof PublishError));
  if (kept.length === results.length) return kept;
  const failed = results.flatMap((result, index) =>
    result instanceof PublishError ? [{ index, id: (jobs[index] as Outgoing).id, error: result }] : [],
  );
  throw new EnqueueManyError(kept, failed);
}

/** `undefined` travels as `null`: a job without a payload. */
function toJson(payload: unknown, name: string): string {
  try {
    const json = JSON.stringify(payload === undefined ? null : payload);
    if (json !== undefined) return json;
  } catch (error) {
    throw new PayloadInvalidError(`the payload of ${name} is no JSON: ${recordError(error).message}`);
  }
  throw new PayloadInvalidError(`the payload of ${name} is no JSON: nothing is left of a ${typeof payload}`);
}

const OPTIONS: ReadonlySet<string> = new Set([
  'queue',
  'id',
  'in',
  'at',
  'deadline',
  'signal',
] satisfies (keyof EnqueueOptions)[]);

/** `delay: 5000`, as others call it, would run the job at once. */
function checkOptions(options: EnqueueOptions): void {
  for (const name in options)
    if (!OPTIONS.has(name))
      throw new ConfigurationError(`enqueue has no option '${name}'; it knows ${[...OPTIONS].join(', ')}`);
}

function checkMany(payloads: unknown, options: EnqueueOptions): void {
  if (!Array.isArray(payloads)) throw new ConfigurationError('enqueueMany takes a list of payloads');
  if (options.id !== undefined)
    throw new ConfigurationError("enqueueMany gives each job an id of its own; 'id' is for enqueue");
}

/** `undefined` above all, which a class is while modules that import each other are still being loaded. */
function noJob(given: unknown): ConfigurationError {
  const what = typeof given === 'function' && given.name ? given.name : String(given);
  return new ConfigurationError(
    `${what} is neither a class that extends Job nor the name of one${given === undefined ? '; do two modules import each other?' : ''}`,
  );
}

/** @throws PayloadInvalidError */
export function checkedName(name: string): string {
  if (isShortText(name)) return name;
  throw new PayloadInvalidError(
    `a job needs a name of 1 to ${LONGEST_SHORT_STRING} bytes, without half a character in it`,
  );
}

/** A lone surrogate (an emoji that was cut in two) does not come back from the broker as it went there. */
function isShortText(text: unknown): text is string {
  return (
    typeof text === 'string' &&
    text !== '' &&
    Buffer.byteLength(text) <= LONGEST_SHORT_STRING &&
    text.isWellFormed()
  );
}

/** @throws PayloadInvalidError */
export function checkedId(id: string, name: string): string {
  if (isShortText(id)) return id;
  throw new PayloadInvalidError(
    `the id of a job (${name}) must be text of 1 to ${LONGEST_SHORT_STRING} bytes, without half a character in it`,
  );
}
