/** What the headers of a message say, after doubt: they may be forged, and what cannot be is read as if it were not there. Pure. */
import { LONGEST_DURATION_MS } from './duration.ts';
import { cut, type ErrorRecord } from './error-record.ts';
import type { Headers, MessageProperties } from './message.ts';

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

const MOST_ATTEMPTS = 1000;
export const MOST_REPLAYS = 1_000_000;
const CLOCK_SKEW_MS = 3_600_000;

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

export function errorRecord(value: unknown): ErrorRecord | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const [name, message, stack] = ['name', 'message', 'stack'].map((key) => text(own(value, key)));
  return name === undefined && message === undefined
    ? undefined
    : { name: name ?? 'Error', message: message ?? '', stack };
}

/** Own properties only: amqplib turns a wire header named `__proto__` into the table's prototype. */
export function own(table: object | null | undefined, key: string): unknown {
  return table && Object.hasOwn(table, key) ? (table as Headers)[key] : undefined;
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
