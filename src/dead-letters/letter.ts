/** A message of a dead queue as an operator reads it. */
import { createHash } from 'node:crypto';
import type { MessageProperties } from '../broker/broker.ts';
import { readHeaders } from '../core/headers.ts';
import type { Headers } from '../core/message.ts';
import { queueOf, UNROUTED, type Where } from './place.ts';

/** A message of a dead queue, or of `unrouted`, in our hands: it goes back unless it is acked. */
export interface Buried {
  readonly body: Buffer;
  readonly properties: MessageProperties;
  /** That of its last way: in `unrouted` it still says which queue the message is for. */
  readonly routingKey: string;
  /** It was handed out before. */
  readonly redelivered: boolean;
  /** False: the broker has it back. */
  ack(): boolean;
}

/** A dead job as operators see it. Moments are ISO strings; null: the message does not say. */
export interface DeadLetter {
  /** The message id; of a message without one `sha256:` and the beginning of a hash over its type and body. */
  id: string;
  job: string | null;
  queue: string;
  /** Ours, or the broker's word (`rejected`, `delivery_limit`) where it gave the message up itself; or `unrouted`. */
  reason: string;
  attempt: number;
  crashes: number;
  error: { name: string; message: string } | null;
  enqueuedAt: string | null;
  deadAt: string | null;
}

/** With what it carries: `payload` where the body is JSON, else `body` in base64. */
export type DeadLetterInFull = DeadLetter & { headers: Headers } & ({ payload: unknown } | { body: string });

export function letterOf(message: Buried, place: Where): DeadLetter {
  const { properties } = message;
  const headers = readHeaders(properties, Date.now());
  const broker = brokersWord(properties);
  const { error, enqueuedAt, deadAt = broker?.at } = headers;
  return {
    id: properties.messageId || fingerprint(message),
    job: properties.type || null,
    queue: queueOf(place, message),
    reason: place.queue === UNROUTED ? 'unrouted' : (headers.reason ?? broker?.reason ?? 'unknown'),
    attempt: headers.attempt,
    crashes: headers.crashes,
    error: error ? { name: error.name, message: error.message } : null,
    enqueuedAt: isoOrNull(enqueuedAt),
    deadAt: isoOrNull(deadAt),
  };
}

/** The address of a message that has no id; it finds the others as well. */
export function fingerprint({ properties, body }: Buried): string {
  const hash = createHash('sha256')
    .update(`${properties.type ?? ''}\0`)
    .update(body);
  return `sha256:${hash.digest('hex').slice(0, 16)}`;
}

/** The newest entry of `x-death`: why and when the broker itself dead-lettered the message. Only ever shown. */
function brokersWord({
  headers,
}: MessageProperties): { reason: string | undefined; at: number | undefined } | undefined {
  const deaths = Object.hasOwn(headers, 'x-death') ? headers['x-death'] : undefined;
  const newest: unknown = Array.isArray(deaths) ? deaths[0] : undefined;
  if (typeof newest !== 'object' || newest === null) return undefined;
  const { reason, time } = newest as { reason?: unknown; time?: { value?: unknown } };
  const seconds = time?.value;
  return {
    reason: typeof reason === 'string' ? reason : undefined,
    at: typeof seconds === 'number' ? seconds * 1000 : undefined,
  };
}

const LAST_MOMENT_MS = 8.64e15;

function isoOrNull(ms: number | undefined): string | null {
  return ms === undefined || !(Math.abs(ms) <= LAST_MOMENT_MS) ? null : new Date(ms).toISOString();
}

export function inFull(message: Buried, place: Where): DeadLetterInFull {
  const { body, properties } = message;
  return {
    ...letterOf(message, place),
    ...contentOf(body),
    headers: headersOf(properties.headers),
  };
}

const STRICT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function contentOf(body: Buffer): { payload: unknown } | { body: string } {
  try {
    return { payload: writable(JSON.parse(STRICT.decode(body))) };
  } catch {
    return { body: body.toString('base64') };
  }
}

function headersOf(headers: Headers): Headers {
  try {
    return writable(readable(headers)) as Headers;
  } catch {
    const flat = Object.entries(headers ?? {}).filter(([, value]) => typeof value !== 'object');
    return { ...Object.fromEntries(flat), '…': 'the rest is nested too deep to be shown' };
  }
}

/** @throws RangeError for what is nested so deep that it can be read, and not be written */
function writable(value: unknown): unknown {
  JSON.stringify(value);
  return value;
}

/** Headers as JSON can say them: bytes in base64, own properties only. */
function readable(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return value.toString('base64');
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return value.map(readable);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, readable(inner)]));
}
