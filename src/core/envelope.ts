/**
 * The wire format: a job as message properties and headers, and back. Pure.
 * Headers may be forged: what cannot be is read as if it were not there.
 */
import { LONGEST_DURATION_MS } from './duration.ts';
import type { Headers, MessageProperties } from './message.ts';
import type { DeadReason } from './outcome.ts';

/** An error as it travels in `warren-error`. */
export interface ErrorRecord {
  name: string;
  message: string;
  stack?: string | undefined;
}

export const HEADER = {
  attempt: 'warren-attempt',
  crashes: 'warren-crashes',
  enqueuedAt: 'warren-enqueued-at',
  error: 'warren-error',
  reason: 'warren-reason',
  queue: 'warren-queue',
  replays: 'warren-replays',
  dueAt: 'warren-due-at',
  deadAt: 'warren-dead-at',
  notBefore: 'warren-not-before',
  schedule: 'warren-schedule',
  tick: 'warren-tick',
} as const;

/** AMQP short strings (message id, type, routing key) hold this many bytes. */
export const LONGEST_SHORT_STRING = 255;

/** amqplib cannot encode a header table above 64 KiB, so an error must leave room for the user's own. */
const ERROR_TEXT_BYTES = 4096;
const MOST_ATTEMPTS = 1000;
const MOST_REPLAYS = 1_000_000;
const CLOCK_SKEW_MS = 3_600_000;

/**
 * What the broker writes about a message's past. None of it may be published again: a copied `x-death`
 * makes RabbitMQ drop the message as a cycle, CC and BCC route it elsewhere.
 */
const BROKER_HEADER = /^(x-death|x-(first|last)-death-.*|x-delivery-count|x-acquired-count|CC|BCC)$/;

/** What the headers of a delivery say, after doubt. */
export interface JobHeaders {
  attempt: number;
  crashes: number;
  replays: number;
  /** Ms since 1970; undefined where a foreign publisher gave none that can be. */
  enqueuedAt: number | undefined;
  /** When its last wait was over, ms since 1970. */
  dueAt: number | undefined;
  /** When it was parked, ms since 1970. */
  deadAt: number | undefined;
  /** Not to be run before this moment (ms since 1970): it waits longer than the longest delay queue. */
  notBefore: number | undefined;
  error: ErrorRecord | undefined;
  reason: string | undefined;
}

/** Properties of a job's first message. `now` in ms since 1970, and `dueAt`, when it is to wait. */
export function jobProperties(job: {
  id: string;
  name: string;
  now: number;
  dueAt?: number | undefined;
  headers?: Headers;
}): MessageProperties {
  const headers = Object.assign({}, job.headers);
  headers[HEADER.attempt] = 1;
  headers[HEADER.enqueuedAt] = job.now;
  if (job.dueAt !== undefined) headers[HEADER.dueAt] = job.dueAt;
  return {
    messageId: job.id,
    type: job.name,
    contentType: 'application/json',
    timestamp: Math.floor(job.now / 1000),
    headers,
  };
}

export function readHeaders({ headers, timestamp }: MessageProperties, now: number): JobHeaders {
  return {
    attempt: wholeNumber(own(headers, HEADER.attempt), 1, MOST_ATTEMPTS) ?? 1,
    crashes: wholeNumber(own(headers, HEADER.crashes), 0, MOST_ATTEMPTS) ?? 0,
    replays: wholeNumber(own(headers, HEADER.replays), 0, MOST_REPLAYS) ?? 0,
    enqueuedAt: moment(own(headers, HEADER.enqueuedAt), now) ?? moment((timestamp ?? Number.NaN) * 1000, now),
    dueAt: moment(own(headers, HEADER.dueAt), now),
    deadAt: moment(own(headers, HEADER.deadAt), now),
    notBefore: laterMoment(own(headers, HEADER.notBefore), now),
    error: errorRecord(own(headers, HEADER.error)),
    reason: text(own(headers, HEADER.reason)),
  };
}

const DELIVERY_COUNT = 'x-delivery-count';
const MOST_DELIVERIES = 1_000_000;

/**
 * What the broker says of how often it handed this message out before; undefined where it says nothing, which is what
 * a quorum queue does the first time and a classic one always. https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling
 */
export function readDeliveryCount({ headers }: MessageProperties): number | undefined {
  return wholeNumber(own(headers, DELIVERY_COUNT), 0, MOST_DELIVERIES);
}

/** How often it took its process down, without reading the rest: asked of every delivery. */
export function readCrashes({ headers }: MessageProperties): number {
  return wholeNumber(own(headers, HEADER.crashes), 0, MOST_ATTEMPTS) ?? 0;
}

export interface NextRun {
  id: string;
  attempt: number;
  /** How many processes it took down; left out: as many as before. */
  crashes?: number | undefined;
  /** When the wait is over, ms since 1970. */
  dueAt: number;
  error?: ErrorRecord | undefined;
  /** Said only where no delay queue is long enough: the worker lets it wait again until then. */
  notBefore?: number | undefined;
}

/** The same job again, as attempt `attempt`, with what the last one failed with. */
export function retryProperties(from: MessageProperties, next: NextRun): MessageProperties {
  const headers = cleanHeaders(from.headers);
  headers[HEADER.attempt] = next.attempt;
  if (next.crashes !== undefined) headers[HEADER.crashes] = next.crashes;
  headers[HEADER.dueAt] = next.dueAt;
  if (next.error) headers[HEADER.error] = asTable(next.error);
  if (next.notBefore === undefined) delete headers[HEADER.notBefore];
  else headers[HEADER.notBefore] = next.notBefore;
  return copied(from, next.id, headers);
}

/**
 * The job with its evidence, for the dead queue. `queue` is the full name of its work queue,
 * `id` what a foreign message without one was called while it ran.
 */
export function deadProperties(
  from: MessageProperties,
  end: {
    id?: string | undefined;
    reason: DeadReason;
    error: ErrorRecord;
    crashes?: number | undefined;
    queue: string;
    now: number;
  },
): MessageProperties {
  const headers = cleanHeaders(from.headers);
  if (end.crashes !== undefined) headers[HEADER.crashes] = end.crashes;
  headers[HEADER.error] = asTable(
    NEVER_BEGAN.includes(end.reason) ? withEarlier(end.error, from) : end.error,
  );
  headers[HEADER.reason] = end.reason;
  headers[HEADER.queue] = end.queue;
  headers[HEADER.deadAt] = end.now;
  return copied(from, from.messageId ?? end.id, headers);
}

const NEVER_BEGAN: readonly DeadReason[] = ['undecodable', 'unknown-job', 'invalid-payload'];

/** A retry that no longer can be run (its class is gone, its schema narrower) still says what its last run failed with. */
function withEarlier(error: ErrorRecord, { headers }: MessageProperties): ErrorRecord {
  const earlier = errorRecord(own(headers, HEADER.error));
  if (!earlier) return error;
  return {
    name: error.name,
    message: `${error.message}; before that it failed with ${earlier.name}: ${earlier.message}`,
    stack: error.stack ?? earlier.stack,
  };
}

/** The same message on its way once more, at the same attempt: nothing but the broker's own marks is taken off. */
export function forwardProperties(from: MessageProperties): MessageProperties {
  return copied(from, from.messageId, cleanHeaders(from.headers));
}

/** A dead job sent again by an operator: attempt 1, no crash marks, one more replay. */
export function replayProperties(from: MessageProperties, now: number): MessageProperties {
  const { replays } = readHeaders(from, now);
  const headers = cleanHeaders(from.headers);
  for (const gone of OF_A_PAST_LIFE) delete headers[gone];
  headers[HEADER.attempt] = 1;
  // Where it lay dead it did not wait for a worker.
  headers[HEADER.dueAt] = now;
  headers[HEADER.replays] = Math.min(replays + 1, MOST_REPLAYS);
  return copied(from, from.messageId, headers);
}

const OF_A_PAST_LIFE = [
  HEADER.error,
  HEADER.reason,
  HEADER.queue,
  HEADER.crashes,
  HEADER.deadAt,
  HEADER.notBefore,
];

/** The headers that make what a job enqueues part of its own trace (W3C Trace Context). */
export function traceOf(headers: Headers): Headers {
  const entries = ['traceparent', 'tracestate'].map((name) => [name, own(headers, name)] as const);
  return Object.fromEntries(entries.filter(([, value]) => typeof value === 'string'));
}

/** Any thrown value as a record of bounded size. Never throws, whatever was thrown. */
export function recordError(thrown: unknown): ErrorRecord {
  return safely(() => describeThrown(thrown)) ?? { name: 'Error', message: 'an error that cannot be shown' };
}

function describeThrown(thrown: unknown): ErrorRecord {
  if (!isErrorLike(thrown)) return { name: 'Error', message: cut(inWords(thrown)) };
  return {
    name: cut(safely(() => String(thrown.name ?? '')) || 'Error'),
    message: cut(safely(() => String(thrown.message)) ?? 'a message that cannot be shown'),
    stack: safely(() => (typeof thrown.stack === 'string' ? cut(thrown.stack) : undefined)),
  };
}

/** Errors of another realm (a vm, a test runner) and bare `{ message }` objects are errors too. */
function isErrorLike(value: unknown): value is { name?: unknown; message: unknown; stack?: unknown } {
  return value instanceof Error || (typeof value === 'object' && value !== null && 'message' in value);
}

/** `throw { code: 5 }` shall read as that, and not as `[object Object]`. */
function inWords(value: unknown): string {
  const plain = typeof value === 'object' ? safely(() => JSON.stringify(value)) : undefined;
  return plain ?? safely(() => String(value)) ?? 'a value that cannot be shown';
}

function safely<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function asTable({ name, message, stack }: ErrorRecord): Record<string, string> {
  const table: Record<string, string> = { name: cut(name), message: cut(message) };
  if (stack !== undefined) table.stack = cut(stack);
  return table;
}

function errorRecord(value: unknown): ErrorRecord | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const [name, message, stack] = ['name', 'message', 'stack'].map((key) => text(own(value, key)));
  return name === undefined && message === undefined
    ? undefined
    : { name: name ?? 'Error', message: message ?? '', stack };
}

/** Own properties only: amqplib turns a wire header named `__proto__` into the table's prototype. */
function own(table: object | null | undefined, key: string): unknown {
  return table && Object.hasOwn(table, key) ? (table as Headers)[key] : undefined;
}

/** What is not of the broker and can be published again. */
function cleanHeaders(headers: Headers): Headers {
  const clean: Headers = {};
  for (const name of Object.keys(headers ?? {})) {
    if (name !== '__proto__' && !BROKER_HEADER.test(name) && canBeStored(headers[name]))
      clean[name] = headers[name];
  }
  return clean;
}

/** A quorum queue refuses NaN and Infinity for ever, which a classic one lets in. */
function canBeStored(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return true;
  return Object.values(value).every(canBeStored);
}

/** A literal: see events.ts. A timestamp beyond what a number holds exactly cannot be encoded again. */
function copied(from: MessageProperties, messageId: string | undefined, headers: Headers): MessageProperties {
  return {
    messageId,
    type: from.type,
    contentType: from.contentType,
    contentEncoding: from.contentEncoding,
    timestamp: Number.isSafeInteger(from.timestamp) ? from.timestamp : undefined,
    correlationId: from.correlationId,
    replyTo: from.replyTo,
    appId: from.appId,
    priority: from.priority,
    headers,
  };
}

function wholeNumber(value: unknown, least: number, most: number): number | undefined {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least) return undefined;
  return Math.min(value, most);
}

/** A moment of the past; other machines' clocks may be a little ahead. */
function moment(value: unknown, now: number): number | undefined {
  const possible = typeof value === 'number' && value >= 1 && value <= now + CLOCK_SKEW_MS;
  return possible ? Math.floor(value) : undefined;
}

/** A moment of the past or the next ten years: a forged one must not keep a job for ever. */
function laterMoment(value: unknown, now: number): number | undefined {
  const moment = wholeNumber(value, 1, Number.MAX_SAFE_INTEGER);
  return moment !== undefined && moment <= now + LONGEST_DURATION_MS ? moment : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? cut(value) : undefined;
}

/** At most 4 KiB of UTF-8, cut between characters. */
function cut(value: string): string {
  if (value.length * 3 <= ERROR_TEXT_BYTES || Buffer.byteLength(value) <= ERROR_TEXT_BYTES) return value;
  return Buffer.from(value).subarray(0, ERROR_TEXT_BYTES).toString('utf8').replace(/�+$/, '');
}
