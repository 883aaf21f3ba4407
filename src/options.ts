/** What a user may say to `createClient` and `createRuntime`. Defaults and checks are in config.ts. */
import type { Logger } from 'pino';
import type { QueueType } from '../topology/plan.ts';
import type { Duration } from './core/duration.ts';
import type { Middleware } from './core/middleware.ts';
import type { NamedSchedule } from './core/schedule.ts';
import type { JobClass } from './job.ts';

export interface ConnectionOptions {
  /**
   * `amqp://user:password@host:port/vhost`, or several for several hosts of one cluster.
   * Default: `AMQP_URL`, else `RABBITMQ_URL`, `CLOUDAMQP_URL`, else `amqp://guest:guest@localhost:5672`.
   */
  url?: string | readonly string[] | undefined;
  /** Put in front of every name on the broker. Default `WARREN_NAMESPACE`, else none. */
  namespace?: string | undefined;
  /** How long the first connection may take before BrokerUnreachableError, default 60 s (client: 10 s); 0 waits for ever. */
  connectTimeout?: Duration | undefined;
}

export interface ClientOptions extends ConnectionOptions {
  /** Messages on their way to the broker at most; further enqueues wait. Default 1000. */
  maxInFlight?: number | undefined;
  /** The largest payload as JSON, in bytes. Default 8 MiB; RabbitMQ 4 takes at most 16 MiB. */
  maxPayload?: number | undefined;
  /** How long an enqueue tries, default 30 s. */
  deadline?: Duration | undefined;
}

/** `full` creates what is missing, `verify` refuses to start on a difference, `none` trusts. */
export type DeclareMode = 'full' | 'verify' | 'none';

export interface QueueOptions {
  /** How many jobs of this queue run at once in this process, default 10. */
  concurrency?: number | undefined;
  /** Deliveries held at most: a number, or `'auto'` (default): more than `concurrency` only while jobs are very short. */
  prefetch?: number | 'auto' | undefined;
  /** Default `'quorum'`. */
  type?: QueueType | undefined;
}

export interface HttpOptions {
  /** Default 3000; 0 takes any free port. */
  port?: number | undefined;
  /** Default `0.0.0.0`. */
  host?: string | undefined;
}

export interface RuntimeOptions extends ConnectionOptions, Pick<ClientOptions, 'maxInFlight' | 'maxPayload'> {
  jobs: readonly JobClass[];
  /**
   * The folder whose files export the job classes. Needed for jobs with `isolation: 'process'` or `'thread'`, whose
   * children import their class there; and without it a job that takes its worker down again and again is not found out.
   */
  workers?: string | undefined;
  /** The config file whose `middleware` children load; needed where there is any. `warren work` passes its own. */
  config?: string | undefined;
  /** Queues this process consumes, by name. Default: every queue that one of `jobs` names. */
  queues?: Readonly<Record<string, QueueOptions>> | undefined;
  /** Types of queues that only other processes consume but jobs of this one go to, default `'quorum'`. */
  queueTypes?: Readonly<Record<string, QueueType>> | undefined;
  /** The broker's `consumer_timeout`, where it is not 30 min. Quorum queues of RabbitMQ 4.3 are asked to wait this long. */
  ackTimeout?: Duration | undefined;
  /**
   * Around each run of each job, the first outermost. Default none. Children take theirs from the `config` file, because
   * functions cannot be handed over to them.
   */
  middleware?: readonly Middleware[] | undefined;
  /** How long running jobs have after a stop signal, default 30 s. */
  grace?: Duration | undefined;
  /** `false`: no HTTP server. */
  http?: false | HttpOptions | undefined;
  /** `false`: SIGTERM and SIGINT are left to the caller, who calls `stop()`. */
  signals?: boolean | undefined;
  /** Default `'full'`. */
  declare?: DeclareMode | undefined;
  /**
   * Declare the levels that hold a job for any time (`in`, `at`) with the rest. Default: when the first is used,
   * by whoever uses it and may declare.
   */
  levels?: boolean | undefined;
  /** Schedules of jobs by name, beside the `cron` of the job classes: `{ nightly: { job, expression } }`. */
  schedules?: Readonly<Record<string, NamedSchedule>> | undefined;
  /** A pino logger, or `false` for none. Default: JSON lines on stdout at `WARREN_LOG_LEVEL` (`info`). */
  logger?: Logger | false | undefined;
}
