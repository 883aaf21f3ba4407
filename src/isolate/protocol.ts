/** What parent and child say to each other, in `Ours`. All of it is plain data that a structured clone carries. */
import type { Publication } from '../broker/broker.ts';
import type { ErrorRecord } from '../core/error-record.ts';
import type { Events } from '../core/events.ts';
import type { MessageProperties } from '../core/message.ts';
import type { DeadReason, Outcome } from '../core/outcome.ts';
import type { JobLog } from '../job.ts';
import type { JobIdentity } from '../run/attempt.ts';
import type { PlainFields } from './plain.ts';

/** The way between them is open to the job as well (`process.send`, `parentPort`): what is not in this is not ours. */
export interface Ours<Message extends Up | Down> {
  warren: Message;
}

export function ours<Message extends Up | Down>(message: Message): Ours<Message> {
  return { warren: message };
}

export function isOurs<Message extends Up | Down>(message: unknown): message is Ours<Message> {
  return typeof message === 'object' && message !== null && 'warren' in message;
}

/** What a child is told when it is made. */
export interface Birth {
  /** Absolute path of the folder whose classes it imports. */
  workers: string;
  /** Of the config file that exports the middleware, where there is any. */
  config: string | undefined;
  parentPid: number;
  limits: Limits;
}

/** What `enqueue` keeps to. */
export interface Limits {
  namespace: string;
  maxPayload: number;
  deadlineMs: number;
  maxInFlight: number;
}

/** One run: the message as it came, because the child decodes and checks it itself. */
export interface RunOrder {
  /** Of this run, no other has it. */
  run: number;
  id: string;
  queue: string;
  /** Ms since 1970. */
  now: number;
  body: Uint8Array;
  properties: MessageProperties;
  redelivered: boolean;
  deliveryCount: number | undefined;
  exchange: string;
  routingKey: string;
}

export interface WireError extends ErrorRecord {
  code?: string | undefined;
}

export type AbortReason = { kind: 'stopping' } | { kind: 'timeout' | 'ack-timeout'; message: string };

export type Down =
  | { kind: 'run'; order: RunOrder }
  | { kind: 'abort'; reason: AbortReason }
  /** Undefined: published. */
  | { kind: 'published'; call: number; error: WireError | undefined }
  | { kind: 'ping' };

/** How a run ended there, and what was decided about it. */
export type Ending =
  | { kind: 'returned' | 'released'; outcome: Outcome }
  | { kind: 'threw'; outcome: Outcome; error: WireError }
  | { kind: 'unfit'; reason: DeadReason; error: ErrorRecord };

/**
 * For those who listen in the parent. It says itself whose it is: what a job leaves behind may speak when the next one
 * runs there.
 */
export type Told =
  | { kind: 'log'; about: JobIdentity; level: keyof JobLog; message: string; fields: PlainFields }
  | { kind: 'progress'; about: JobIdentity; value: unknown }
  | { kind: 'enqueued'; event: Events['job.enqueued'] }
  | { kind: 'publish-failed'; event: Omit<Events['publish.failed'], 'error'>; error: WireError }
  /** An error that nobody caught and that fails no run. */
  | { kind: 'stray'; id: string | undefined; job: string | undefined; error: WireError };

/** `waits`: its way goes through the levels, which the parent may have to declare. */
export interface PublishOrder {
  kind: 'publish';
  /** Who asks. */
  run: number;
  call: number;
  publication: Publication;
  deadline: number | undefined;
  waits: boolean;
}

export type Up =
  | { kind: 'ready'; jobs: string[] }
  | { kind: 'unable'; error: WireError }
  /** The order has arrived: from here on a death is blamed on it. */
  | { kind: 'took' }
  /** Decoded and checked: `perform` is called. */
  | { kind: 'began' }
  | PublishOrder
  /** The caller of that has aborted. */
  | { kind: 'forget'; call: number }
  | Told
  /** `broken`: code of it goes on, or the state it leaves may be unsound; nobody else may run there. */
  | { kind: 'ended'; ending: Ending; broken: boolean }
  | { kind: 'pong' };
