/** The wire format: a job as message properties and headers. Pure. */
import { cut, type ErrorRecord } from './error-record.ts';
import { errorRecord, HEADER, MOST_REPLAYS, own, readHeaders } from './headers.ts';
import type { Headers, MessageProperties } from './message.ts';
import type { DeadReason } from './outcome.ts';

/** AMQP short strings (message id, type, routing key) hold this many bytes. */
export const LONGEST_SHORT_STRING = 255;

/**
 * What the broker writes about a message's past. None of it may be published again: a copied `x-death`
 * makes RabbitMQ drop the message as a cycle, CC and BCC route it elsewhere.
 */
const BROKER_HEADER = /^(x-death|x-(first|last)-death-.*|x-delivery-count|x-acquired-count|CC|BCC)$/;

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
  return withHeaders(from, cleanHeaders(from.headers));
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

/** The same message with these headers. */
export function withHeaders(from: MessageProperties, headers: Headers): MessageProperties {
  return copied(from, from.messageId, headers);
}

function asTable({ name, message, stack }: ErrorRecord): Record<string, string> {
  const table: Record<string, string> = { name: cut(name), message: cut(message) };
  if (stack !== undefined) table.stack = cut(stack);
  return table;
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
