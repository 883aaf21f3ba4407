/**
 * Every setting, once: what it is called in code, in the environment and on the command line,
 * how it is read, its default and what it does. Checks, `--help` and the README's table come from here.
 */

import type { Middleware } from '../core/middleware.ts';
import type { NamedSchedule } from '../core/schedule.ts';
import type { DeclareMode } from '../options.ts';
import * as read from './readers.ts';

export interface Setting<T> {
  /** Environment variables, the first one that is set counts. */
  readonly env: readonly string[];
  /** The command's flag with its argument, e.g. `--grace <duration>`. */
  readonly flag?: string;
  /** May also be named by a variable with `_FILE` behind it, and is never shown. */
  readonly secret?: boolean;
  readonly read: read.Reader<T>;
  readonly fallback: T;
  /** The default in words, where its value does not say it. */
  readonly defaultText?: string;
  readonly doc: string;
}

const setting = <T>(is: Setting<T>): Setting<T> => is;

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export const SETTINGS = {
  url: setting({
    env: ['AMQP_URL', 'RABBITMQ_URL', 'CLOUDAMQP_URL'],
    secret: true,
    read: read.urls,
    fallback: Object.freeze(['amqp://guest:guest@localhost:5672']),
    defaultText: 'amqp://guest:guest@localhost:5672',
    doc: 'The broker. Several whole URLs separated by commas: hosts of one cluster, tried in turn.',
  }),
  config: setting({
    env: ['WARREN_CONFIG'],
    flag: '--config <file>',
    read: read.text,
    fallback: '',
    defaultText: 'warren.config.{json,js,mjs,ts} of the current folder',
    doc: 'A file with any of these settings, as JSON or as the default export. The command only.',
  }),
  namespace: setting({
    env: ['WARREN_NAMESPACE'],
    flag: '--namespace <name>',
    read: read.namespace,
    fallback: '',
    defaultText: 'none',
    doc: 'Put in front of every name on the broker, with a dot.',
  }),
  connectTimeout: setting({
    env: ['WARREN_CONNECT_TIMEOUT'],
    flag: '--connect-timeout <duration>',
    read: read.timer,
    fallback: 60_000,
    defaultText: '60s (client and other commands: 10s)',
    doc: 'How long the first connection may take; 0 tries for ever. Once connected, it reconnects for ever.',
  }),
  workers: setting({
    env: ['WARREN_WORKERS'],
    flag: '--workers <folder>',
    read: read.text,
    fallback: 'workers',
    doc: 'The folder whose exported job classes are registered. The command only.',
  }),
  queues: setting<read.QueueWishes>({
    env: ['WARREN_QUEUES'],
    flag: '--queue <name[:concurrency]>',
    read: read.queues,
    fallback: {},
    defaultText: 'every queue that a job class names',
    doc: 'What this process consumes: `mail:20,report:2`. As a flag repeatable; in code and files also prefetch and type.',
  }),
  concurrency: setting({
    env: ['WARREN_CONCURRENCY'],
    flag: '--concurrency <number>',
    read: read.concurrency,
    fallback: 10,
    doc: 'Jobs that run at once, for each queue that does not say its own.',
  }),
  middleware: setting<readonly Middleware[]>({
    env: [],
    read: read.middleware,
    fallback: [],
    defaultText: 'none',
    doc: 'Functions around each run of a job, the first outermost. In code, or in a config file that is code.',
  }),
  grace: setting({
    env: ['WARREN_GRACE'],
    flag: '--grace <duration>',
    read: read.timer,
    fallback: 30_000,
    defaultText: '30s',
    doc: 'How long running jobs have after a stop signal. Keep it below what your orchestrator waits.',
  }),
  processes: setting<number | 'auto'>({
    env: ['WARREN_PROCESSES'],
    flag: '--processes <number>',
    read: read.processes,
    fallback: 1,
    doc: 'Worker processes, each with its own connections, under a supervisor; `auto`: one a CPU. 1: no supervisor. The command only.',
  }),
  stallTimeout: setting({
    env: ['WARREN_STALL_TIMEOUT'],
    read: read.timer,
    fallback: 60_000,
    defaultText: '60s',
    doc: 'A worker process whose event loop does not turn for so long is killed and started again; 0 never. Under a supervisor only.',
  }),
  ackTimeout: setting({
    env: ['WARREN_ACK_TIMEOUT'],
    flag: '--ack-timeout <duration>',
    read: read.timer,
    fallback: 0,
    defaultText: 'RabbitMQ’s own, 30m',
    doc: "The broker's `consumer_timeout`: how long it waits for a job's ack. Quorum queues of RabbitMQ 4.3 are asked for this one.",
  }),
  declare: setting<DeclareMode>({
    env: ['WARREN_DECLARE'],
    flag: '--declare <mode>',
    read: read.oneOf('full', 'verify', 'none'),
    fallback: 'full',
    doc: '`full` creates what is missing on the broker, `verify` refuses to start on a difference, `none` trusts.',
  }),
  levels: setting({
    env: ['WARREN_LEVELS'],
    flag: '--levels',
    read: read.flag,
    fallback: false,
    defaultText: 'when first used',
    doc: 'Declare the levels for delays of any length with the rest, for processes that may not do so themselves.',
  }),
  schedules: setting<Readonly<Record<string, NamedSchedule>>>({
    env: ['WARREN_SCHEDULES'],
    read: read.schedules,
    fallback: {},
    defaultText: '`static cron` of the job classes alone',
    doc: 'Schedules of jobs by name: `{ nightly: { job, expression, timeZone, payload, missed, queue } }`; as a variable in JSON.',
  }),
  http: setting({
    env: ['WARREN_HTTP'],
    flag: '--no-http',
    read: read.flag,
    fallback: true,
    defaultText: 'on',
    doc: 'Whether health and metrics are served over HTTP.',
  }),
  port: setting({
    env: ['WARREN_PORT'],
    flag: '--port <number>',
    read: read.wholeNumber(0, 65_535),
    fallback: 3000,
    doc: 'The port of health and metrics; 0 takes any free one.',
  }),
  host: setting({
    env: ['WARREN_HOST'],
    flag: '--host <address>',
    read: read.text,
    fallback: '0.0.0.0',
    doc: 'The address at which health and metrics are served.',
  }),
  logLevel: setting<LogLevel>({
    env: ['WARREN_LOG_LEVEL'],
    flag: '--log-level <level>',
    read: read.oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    fallback: 'info',
    doc: 'How much is logged: trace, debug, info, warn, error, fatal or silent.',
  }),
  deadline: setting({
    env: ['WARREN_DEADLINE'],
    read: read.timer,
    fallback: 30_000,
    defaultText: '30s',
    doc: 'How long an enqueue tries before it rejects.',
  }),
  maxInFlight: setting({
    env: ['WARREN_MAX_IN_FLIGHT'],
    read: read.wholeNumber(1, 1_000_000),
    fallback: 1000,
    doc: 'Messages on their way to the broker at most; further enqueues wait.',
  }),
  maxPayload: setting({
    env: ['WARREN_MAX_PAYLOAD'],
    read: read.wholeNumber(1, 128 * 1024 * 1024),
    fallback: 8 * 1024 * 1024,
    defaultText: '8388608 (8 MiB)',
    doc: 'The largest payload as JSON, in bytes. RabbitMQ 4 takes at most 16 MiB.',
  }),
} satisfies Record<string, Setting<unknown>>;

export type SettingKey = keyof typeof SETTINGS;

export type ValueOf<Key extends SettingKey> = (typeof SETTINGS)[Key]['fallback'];

export type Values = Readonly<Partial<Record<SettingKey, unknown>>>;
