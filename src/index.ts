/** The public API. */
export type { Client, CreateClientOptions } from './client.ts';
export {
  type Backoff,
  type ComputedBackoff,
  type ExponentialBackoff,
  exponential,
  type RetryOptions,
} from './core/backoff.ts';
export type { Duration } from './core/duration.ts';
export type { ErrorRecord } from './core/error-record.ts';
export {
  BlockedError,
  BrokerUnreachableError,
  ClosedError,
  ConfigurationError,
  DeadlineError,
  EnqueueManyError,
  JobCrashedError,
  PayloadInvalidError,
  PayloadTooLargeError,
  PublishError,
  RefusedError,
  TopologyMismatchError,
  UnroutableError,
  WarrenError,
} from './core/errors.ts';
export type { AttemptInfo, EventName, Events, Listener } from './core/events.ts';
export type { JobRun, Middleware } from './core/middleware.ts';
export { type Control, type DeadReason, dead, snooze } from './core/outcome.ts';
export type { CronOptions, CronSchedules, Missed, NamedSchedule } from './core/schedule.ts';
export { createClient, createRuntime } from './create.ts';
export {
  type Enqueue,
  type Enqueued,
  type EnqueueOptions,
  type IdempotentJob,
  type Isolation,
  Job,
  type JobClass,
  type JobContext,
  type JobLog,
} from './job.ts';
export type {
  ClientOptions,
  ConnectionOptions,
  DeclareMode,
  HttpOptions,
  QueueOptions,
  RuntimeOptions,
} from './options.ts';
export { JobTimeoutError, WorkerStoppingError } from './run/attempt.ts';
export { AckTimeoutError } from './run/taken-back.ts';
export type { CreateRuntimeOptions } from './runtime/plan.ts';
export type { Runtime } from './runtime.ts';
