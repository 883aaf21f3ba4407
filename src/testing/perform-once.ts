/** One attempt of a job without a broker, through the same steps as in a worker. */
import type { Broker, Delivery, Publication } from '../broker/broker.ts';
import { BrokerClient } from '../client.ts';
import { resolveClientSettings } from '../config.ts';
import { retryProperties } from '../core/envelope.ts';
import { type ErrorRecord, recordError } from '../core/error-record.ts';
import { EventBus } from '../core/events.ts';
import { readHeaders } from '../core/headers.ts';
import { composed, type Middleware } from '../core/middleware.ts';
import { type DeadReason, decide, type Outcome, type RunResult } from '../core/outcome.ts';
import { Registry } from '../core/registry.ts';
import { type Enqueue, type EnqueueOptions, type JobClass, type JobLog, jobNameOf } from '../job.ts';
import { Attempt, type AttemptResources, WorkerStoppingError } from '../run/attempt.ts';
import { type Decoded, decode } from '../run/decode.ts';

export interface PerformOptions {
  /** Which attempt it is, from 1, default 1. */
  attempt?: number;
  /** The job's id, default a new UUIDv7. */
  id?: string;
  /** The queue it comes from, default that of its class. */
  queue?: string;
  /** What the attempt before it threw: `context.lastError`. */
  lastError?: unknown;
  /** True: the broker hands it out again, an earlier run may have begun. */
  redelivered?: boolean;
  /** Aborting it is what a worker does that stops: `context.signal` aborts, and a throw after it costs no attempt. */
  signal?: AbortSignal;
  /** Around the run, the first outermost, default none. */
  middleware?: readonly Middleware[];
}

/** A job that the job enqueued. */
export interface EnqueuedOnce {
  /** The name it travels by. */
  job: string;
  queue: string;
  id: string;
  /** As it will arrive: after JSON. */
  payload: unknown;
  options: EnqueueOptions;
}

export interface LogLine {
  level: keyof JobLog;
  message: string;
  fields: object;
}

/** How an attempt ended, and what it did on the way. */
export interface Performed {
  /** `released`: it stopped because its signal aborted; the job runs again elsewhere, no attempt is spent. */
  outcome: 'done' | 'retry' | 'snooze' | 'dead' | 'released';
  /** What `perform` returned. */
  value: unknown;
  /** What `perform` threw, or its timeout; of a job parked without a throw `{ name, message }`. */
  error?: unknown;
  /** How long a `retry` or a `snooze` waits. */
  waitMs?: number;
  /** Why it is `dead`. */
  reason?: DeadReason;
  enqueued: readonly EnqueuedOnce[];
  logs: readonly LogLine[];
  /** What it told of how far it is. */
  progress: readonly unknown[];
}

/**
 * Runs one attempt of a job. The payload takes the way it takes in production: checked by the class's schema,
 * to JSON and back, checked again. Nothing is retried; what would become of the job is told.
 * @throws PayloadInvalidError, PayloadTooLargeError as `enqueue` does
 * @throws ConfigurationError for a class that cannot be registered
 */
export async function performOnce<Payload>(
  job: JobClass<Payload>,
  payload: NoInfer<Payload>,
  options: PerformOptions = {},
): Promise<Performed> {
  const registry = new Registry([job]);
  const desk = new Desk(composed(options.middleware ?? []));
  const delivery = deliveryOf(await desk.write(job, payload, options), options);
  const decoded = await decode(delivery, registry);
  if (!decoded.ok) return desk.report({ kind: 'dead', reason: decoded.reason, error: decoded.error });
  return run(delivery, decoded, desk, options);
}

async function run(
  delivery: Delivery,
  { registration, payload }: Extract<Decoded, { ok: true }>,
  desk: Desk,
  { queue = registration.queue, signal }: PerformOptions,
): Promise<Performed> {
  const now = Date.now();
  const headers = readHeaders(delivery.properties, now);
  const id = delivery.properties.messageId ?? '';
  const attempt = new Attempt(delivery, { id, queue, registration, headers, now }, desk);
  const stop = () => attempt.abort(new WorkerStoppingError());
  if (signal?.aborted) stop();
  signal?.addEventListener('abort', stop);
  try {
    const result = await attempt.run(payload);
    return desk.report(decide(result, headers.attempt, registration.policy), result);
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

/** What arrives of a publication, as the attempt that is asked for. */
function deliveryOf(
  { body, properties, exchange, routingKey }: Publication,
  { attempt = 1, lastError, redelivered = false }: PerformOptions,
): Delivery {
  const next = { id: properties.messageId ?? '', attempt, error: errorOf(lastError), dueAt: Date.now() };
  return {
    body,
    properties: attempt > 1 || next.error ? retryProperties(properties, next) : properties,
    redelivered,
    deliveryCount: undefined,
    exchange,
    routingKey,
    live: true,
    ack: () => true,
    release: () => true,
    reject: () => true,
  };
}

function errorOf(lastError: unknown): ErrorRecord | undefined {
  return lastError === undefined ? undefined : recordError(lastError);
}

/** Stands for the worker: what a job logs and enqueues stays here. */
class Desk implements AttemptResources {
  readonly #enqueued: EnqueuedOnce[] = [];
  readonly #logs: LogLine[] = [];
  readonly #progress: unknown[] = [];
  readonly #sent = new Map<string, Publication>();
  readonly #client: BrokerClient;
  readonly middleware: Middleware | undefined;

  constructor(middleware: Middleware | undefined) {
    this.middleware = middleware;
    const broker: Pick<Broker, 'publish'> = { publish: async (publication) => this.#keep(publication) };
    // Without the environment: a test's outcome must not depend on who runs it.
    this.#client = new BrokerClient(broker as Broker, resolveClientSettings({}, {}), new EventBus());
  }

  /** The message that `enqueue` would send. */
  async write(job: JobClass, payload: unknown, { id, queue }: PerformOptions): Promise<Publication> {
    const options = { ...(id !== undefined && { id }), ...(queue !== undefined && { queue }) };
    const enqueued = await this.#client.enqueue(job, payload, options);
    return this.#sent.get(enqueued.id) as Publication;
  }

  enqueueFor(): Enqueue {
    return async (job: JobClass | string, payload: unknown, options: EnqueueOptions = {}) => {
      const { id, queue } = await this.#client.enqueue(job as JobClass, payload, options);
      const name = typeof job === 'string' ? job : jobNameOf(job);
      const { body } = this.#sent.get(id) as Publication;
      this.#enqueued.push({ job: name, queue, id, payload: JSON.parse(body.toString()), options });
      return { id, queue };
    };
  }

  logFor(): JobLog {
    const write =
      (level: keyof JobLog) =>
      (message: string, fields: object = {}) =>
        void this.#logs.push({ level, message, fields });
    return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  }

  progressOf(_: unknown, value: unknown): void {
    this.#progress.push(value);
  }

  report(outcome: Outcome, result?: RunResult): Performed {
    return {
      outcome: outcome.kind === 'release' ? 'released' : outcome.kind,
      value: result?.kind === 'returned' ? result.value : undefined,
      ...fate(outcome, result),
      enqueued: this.#enqueued,
      logs: this.#logs,
      progress: this.#progress,
    };
  }

  #keep(publication: Publication): void {
    this.#sent.set(publication.properties.messageId ?? '', publication);
  }
}

function fate(
  outcome: Outcome,
  result: RunResult | undefined,
): Pick<Performed, 'error' | 'waitMs' | 'reason'> {
  const thrown = result && 'error' in result ? result.error : undefined;
  switch (outcome.kind) {
    case 'retry':
      return { error: thrown, waitMs: outcome.waitMs };
    case 'snooze':
      return { waitMs: outcome.waitMs };
    case 'dead':
      return { error: thrown ?? outcome.error, reason: outcome.reason };
    default:
      return {};
  }
}
