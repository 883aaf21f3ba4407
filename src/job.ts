/** What a user extends and what `perform` is given. */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { RetryOptions } from './core/backoff.ts';
import type { Duration } from './core/duration.ts';
import type { ErrorRecord } from './core/error-record.ts';
import type { CronSchedules } from './core/schedule.ts';

const JOB = Symbol.for('warren.job');

/**
 * Where `perform` runs. `inline`: in the worker itself. `process`: in a child process, so that whatever it does to its
 * process it does to that child alone. `thread`: in a worker thread, cheaper, but what ends a whole process
 * (a segmentation fault, `process.abort()`, SIGKILL to itself) ends the worker.
 */
export type Isolation = 'inline' | 'process' | 'thread';

/**
 * A kind of job. Its static properties say where it goes and what happens when it fails;
 * `perform` does the work. One object is made for each run.
 */
export abstract class Job<Payload = unknown> {
  /** The brand by which a class is known, also where two copies of warren are loaded. */
  static readonly [JOB] = true;
  /** The work queue, default `'default'`. */
  static queue?: string;
  /** What travels as the message's `type`, default the class name. Set it where a bundler renames classes. */
  static jobName?: string;
  /** Default: 12 attempts, waits of 3 s, 30 s, 5 m, 50 m, 8 h 20 m, then 24 h each. */
  static retry?: RetryOptions;
  /**
   * How long one attempt may run; then its signal aborts and the attempt has failed. Time in which the worker itself was
   * paused does not count. Default: as long as it likes.
   */
  static timeout?: Duration;
  /**
   * Its effects must happen once for each key, by default the job's id: needs the middleware `idempotent` of
   * `warren/idempotency`. Default false.
   */
  static idempotent?: boolean | IdempotentJob;
  /** A Standard Schema (zod, valibot, arktype …), checked at enqueue and before `perform`, which gets its output. */
  static payload?: StandardSchemaV1;
  /** When it runs by itself: `'0 3 * * *'`, or `{ expression, timeZone, payload, missed }`, or a list of them. */
  static cron?: CronSchedules;
  /** Default `'inline'`. The others need a `workers` folder, which `warren work` has: children import the class there. */
  // Any text for TypeScript, which makes no more than that of a static property; checked at the start.
  static isolation?: Isolation | (string & Record<never, never>);
  /** How many processes a job may take down before it is parked as `crashed`, 1 to 1000, default 3. */
  static maxCrashes?: number;

  /**
   * Does the work. Returning means done, throwing means a failed attempt;
   * `dead('why')` and `snooze('1m')` can be returned.
   */
  abstract perform(payload: Payload, context: JobContext): unknown;
}

export interface IdempotentJob {
  /** What counts as the same job, default its id; undefined for a run that needs no guarding. */
  // biome-ignore lint/suspicious/noExplicitAny: the payload of the class that says it
  key?: (payload: any, context: JobContext) => string | undefined;
  /** How long it is remembered that it was done, default that of the middleware (24 h). */
  keep?: Duration;
}

/** A class that extends `Job`. */
// biome-ignore lint/suspicious/noExplicitAny: any payload; a class is contravariant in it
export type JobClass<Payload = any> = (new () => Job<Payload>) & Omit<typeof Job, 'prototype'>;

export function isJobClass(value: unknown): value is JobClass {
  return typeof value === 'function' && JOB in value && value !== Job;
}

/** The name a job travels by. */
export function jobNameOf(job: JobClass): string {
  return job.jobName ?? job.name;
}

/** Writes to the worker's log, with the job's id, name, queue and attempt on each line. */
export interface JobLog {
  debug(message: string, fields?: object): void;
  info(message: string, fields?: object): void;
  warn(message: string, fields?: object): void;
  error(message: string, fields?: object): void;
}

export interface EnqueueOptions {
  /** Default: the queue of the job's class. Needed by name from a service without the class. */
  queue?: string;
  /** The job's id, up to 255 bytes, default a new UUIDv7. The same id again is the same job to your handler. */
  id?: string;
  /** Not now but after this long, in whole seconds rounded up, at most eight and a half years. The broker holds it. */
  in?: Duration;
  /** Not now but at this moment, to the second and never before it. A moment of the past is now. */
  at?: Date;
  /** How long to try, default `'30s'`. */
  deadline?: Duration;
  signal?: AbortSignal;
}

export interface Enqueued {
  id: string;
  queue: string;
}

export interface Enqueue {
  <Payload>(job: JobClass<Payload>, payload: Payload, options?: EnqueueOptions): Promise<Enqueued>;
  (job: string, payload: unknown, options?: EnqueueOptions): Promise<Enqueued>;
}

/** What `perform` is given beside its payload. */
export interface JobContext {
  readonly id: string;
  readonly job: string;
  readonly queue: string;
  /** Which attempt this is, from 1. */
  readonly attempt: number;
  /** How many attempts there are in all. */
  readonly attempts: number;
  /** What the attempt before this one failed with. */
  readonly lastError: ErrorRecord | undefined;
  readonly enqueuedAt: Date;
  /** True when the broker hands this message out again: an earlier run may have begun. */
  readonly redelivered: boolean;
  /** Aborts at the job's timeout, and some time before a drain's grace period ends. */
  readonly signal: AbortSignal;
  readonly log: JobLog;
  /** Enqueues another job, confirmed, on the worker's publishing connection. */
  readonly enqueue: Enqueue;
  /** Tells how far it is, as anything that JSON can hold: the event `job.progress`. */
  readonly progress: (value: unknown) => void;
}
