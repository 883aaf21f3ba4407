/** Events → log lines, one each. Never a payload, never a password. */
import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';
import type { LogLevel } from '../config/settings.ts';
import { recordError } from '../core/error-record.ts';
import type { EventBus, EventName, Events } from '../core/events.ts';
import { redact } from '../core/redact.ts';

type Level = 'debug' | 'info' | 'warn' | 'error';

interface Line<E extends EventName> {
  level: Level | ((event: Events[E]) => Level);
  text: string;
  fields: (event: Events[E]) => object;
}

type AttemptFields = {
  id: string;
  job: string;
  queue: string;
  attempt: number;
  durationMs?: number | undefined;
};

const about = ({ id, job, queue, attempt }: AttemptFields) => ({ id, job, queue, attempt });
const timed = ({ id, job, queue, attempt, durationMs }: AttemptFields) => ({
  id,
  job,
  queue,
  attempt,
  durationMs: durationMs === undefined ? undefined : rounded(durationMs),
});
const failed = (event: AttemptFields & { error: unknown; willRetry: boolean }) => ({
  ...timed(event),
  willRetry: event.willRetry,
  error: errorFields(event.error),
});
const waits = (event: AttemptFields & { waitMs: number; delay: string }) => ({
  ...about(event),
  waitMs: event.waitMs,
  delay: event.delay,
});
const redacted = <T extends { url: string; reason?: string }>({ url, reason, ...rest }: T) => ({
  ...rest,
  url: redact(url),
  ...(reason === undefined ? {} : { reason: redact(reason) }),
});
const same = (event: object) => event;
/** `pid` on a line is that of who wrote it. */
const ofWorker = <T extends { pid: number }>({ pid, ...event }: T) => ({ ...event, workerPid: pid });

/** Every event has its line here: what is missing does not compile. */
const LINES: { readonly [E in EventName]: Line<E> } = {
  'job.enqueued': {
    level: 'debug',
    text: 'job enqueued',
    fields: ({ durationMs, ...event }) => ({ ...event, durationMs: rounded(durationMs) }),
  },
  'publish.failed': {
    level: 'warn',
    text: 'job not enqueued',
    fields: (event) => ({ ...event, error: errorFields(event.error) }),
  },
  'attempt.started': {
    level: 'debug',
    text: 'attempt started',
    fields: (event) => ({ ...about(event), waitMs: rounded(event.waitMs), redelivered: event.redelivered }),
  },
  'attempt.succeeded': { level: 'debug', text: 'attempt succeeded', fields: timed },
  'attempt.failed': { level: 'warn', text: 'attempt failed', fields: failed },
  'attempt.timed-out': { level: 'warn', text: 'attempt timed out', fields: failed },
  'attempt.released': { level: 'info', text: 'attempt given back to its queue', fields: timed },
  'job.retried': { level: 'info', text: 'job waits for its next attempt', fields: waits },
  'job.snoozed': { level: 'info', text: 'job snoozes', fields: waits },
  'job.succeeded': { level: 'info', text: 'job succeeded', fields: timed },
  'job.dead': {
    level: 'error',
    text: 'job is dead',
    fields: (event) => ({ ...about(event), reason: event.reason, error: errorFields(event.error) }),
  },
  'job.crashed': {
    level: 'error',
    text: 'job took its process down',
    fields: (event) => ({
      ...timed(event),
      crashes: event.crashes,
      willRetry: event.willRetry,
      exitCode: event.error.exitCode,
      signal: event.error.signal,
      error: errorFields(event.error),
    }),
  },
  'job.progress': {
    level: 'debug',
    text: 'job progresses',
    fields: (event) => ({ ...about(event), value: event.value }),
  },
  'job.suspected': {
    level: 'info',
    text: 'job is on probation: it came back too often, so it runs alone in a child process',
    fields: (event) => ({ ...about(event), deliveries: event.deliveries, crashes: event.crashes }),
  },
  'probation.impossible': {
    level: 'warn',
    text: 'a job that may have crashed its worker runs in it again: it has no workers folder (or no config file with its middleware) for a child process',
    fields: same,
  },
  'child.failed': {
    level: 'error',
    text: 'a child for isolated jobs failed',
    fields: ({ error, ...event }) => ({ ...event, ...(error && { error: errorFields(error) }) }),
  },
  'job.discarded': { level: 'info', text: 'job discarded', fields: about },
  'delivery.redelivered': { level: 'debug', text: 'message delivered again', fields: same },
  'ack.timed-out': {
    level: 'warn',
    text: 'the broker waited too long for an ack and hands its jobs out again',
    fields: same,
  },
  'ack.may-time-out': {
    level: 'warn',
    text: 'a job may run longer than the broker waits for its ack; shorten its timeout or raise consumer_timeout',
    fields: same,
  },
  'settlement.stale': { level: 'debug', text: 'settlement came too late', fields: same },
  'settlement.failed': {
    level: 'warn',
    text: 'retry or dead copy not published yet',
    fields: (event) => ({ ...about(event), error: errorFields(event.error) }),
  },
  'rejection.unhandled': {
    level: 'error',
    text: 'a rejection was not handled',
    fields: ({ error, id, job }) => ({ id, job, error: errorFields(error) }),
  },
  'connection.opened': { level: 'info', text: 'connected to the broker', fields: redacted },
  'connection.lost': { level: 'warn', text: 'connection to the broker lost', fields: redacted },
  'connection.failed': { level: 'warn', text: 'broker not reached', fields: redacted },
  'broker.blocked': { level: 'warn', text: 'broker takes no jobs', fields: same },
  'broker.unblocked': { level: 'info', text: 'broker takes jobs again', fields: same },
  'consumer.attached': { level: 'info', text: 'consuming', fields: same },
  'consumer.detached': {
    level: 'warn',
    text: 'not consuming',
    fields: ({ queue, reason }) => ({ queue, reason: redact(reason) }),
  },
  'schedules.leading': { level: 'info', text: 'leading the schedules', fields: same },
  'schedules.left': {
    level: 'info',
    text: 'no longer leading the schedules',
    fields: ({ reason }) => ({ reason: redact(reason) }),
  },
  'schedules.failed': {
    level: 'warn',
    text: 'cannot lead the schedules',
    fields: ({ error }) => ({ error: errorFields(error) }),
  },
  'schedule.ticked': {
    level: ({ madeUp }) => (madeUp ? 'warn' : 'info'),
    text: 'tick',
    fields: ({ tick, ...event }) => ({ ...event, tick: new Date(tick).toISOString() }),
  },
  'schedule.skipped': {
    level: 'warn',
    text: 'ticks were missed and are not made up for',
    fields: ({ to, ...event }) => ({ ...event, to: new Date(to).toISOString() }),
  },
  'jobs.rerouted': { level: 'info', text: "jobs came back from 'unrouted' to their queue", fields: same },
  'reroute.failed': {
    level: 'warn',
    text: "jobs in 'unrouted' could not be sent on to their queue yet",
    fields: ({ error }) => ({ error: errorFields(error) }),
  },
  'reroute.forbidden': {
    level: 'info',
    text: "this user may not read 'unrouted': what lies there is left to others",
    fields: ({ reason }) => ({ reason: redact(reason) }),
  },
  'topology.applied': {
    level: ({ created }) => (created.length > 0 ? 'info' : 'debug'),
    text: 'topology declared',
    fields: same,
  },
  'topology.unverified': {
    level: 'warn',
    text: 'topology is there, but this user may not compare it (no configure permission)',
    fields: same,
  },
  'topology.failed': {
    level: 'warn',
    text: 'topology not declared yet',
    fields: ({ error }) => ({ error: errorFields(error) }),
  },
  'queue.unnamed': {
    level: 'warn',
    text: 'no job class names this queue as its own; is it misspelt?',
    fields: same,
  },
  'runtime.started': { level: 'info', text: 'started', fields: same },
  'drain.started': { level: 'info', text: 'stopping', fields: same },
  'drain.finished': {
    level: ({ released, unsent }) => (released + unsent > 0 ? 'warn' : 'info'),
    text: 'stopped',
    fields: ({ durationMs, ...event }) => ({ ...event, durationMs: rounded(durationMs) }),
  },
  'supervisor.started': { level: 'info', text: 'supervisor started', fields: same },
  'process.started': { level: 'info', text: 'worker process started', fields: ofWorker },
  'process.died': {
    // Whoever sends a worker SIGTERM gets a new one; that is no accident.
    level: ({ code }) => (code === 0 ? 'warn' : 'error'),
    text: 'worker process died',
    fields: ({ uptimeMs, lastWords, ...event }) => ({
      ...ofWorker(event),
      uptimeMs: rounded(uptimeMs),
      lastWords: lastWords.map(redact),
    }),
  },
  'process.stalled': { level: 'error', text: 'worker process is stuck and will be killed', fields: ofWorker },
  'process.overran': {
    level: 'error',
    text: 'worker process did not end within the grace period and is killed',
    fields: ofWorker,
  },
  'supervisor.stopping': { level: 'info', text: 'supervisor stops its workers', fields: same },
  'supervisor.gave-up': {
    level: 'error',
    text: 'workers die at their start: no more are started',
    fields: same,
  },
  'supervisor.stopped': {
    level: ({ code }) => (code === 0 ? 'info' : 'warn'),
    text: 'supervisor stopped',
    fields: ({ code, durationMs }) => ({ code, durationMs: rounded(durationMs) }),
  },
};

const NAMES = Object.keys(LINES) as EventName[];

/**
 * Writes a line for each event of this bus, where its level is on; returns the function that ends it.
 * What is off is not subscribed to, so that an event costs nothing; a change of the logger's level is followed.
 */
export function subscribeLogs(bus: EventBus, logger: Logger): () => void {
  let ends: (() => void)[] = [];
  const end = () => {
    for (const one of ends) one();
    ends = [];
  };
  const begin = () => {
    end();
    ends = NAMES.filter((name) => mayBeWritten(logger, name)).map((name) => subscribeLine(bus, logger, name));
  };
  begin();
  logger.on('level-change', begin);
  return () => {
    logger.off('level-change', begin);
    end();
  };
}

function mayBeWritten(logger: Logger, name: EventName): boolean {
  const { level } = LINES[name];
  return typeof level === 'function' || logger.isLevelEnabled(level);
}

function subscribeLine<E extends EventName>(bus: EventBus, logger: Logger, name: E): () => void {
  const { level: levelOf, text, fields } = LINES[name];
  return bus.on(name, (event) => {
    const level = typeof levelOf === 'string' ? levelOf : levelOf(event);
    logger[level](fields(event), text);
  });
}

/**
 * One JSON object a line, level as a word, time as text, by default on stdout. Written at once, not gathered:
 * the last line before a crash is the one that is wanted.
 */
export function createLogger(level: LogLevel, destination?: DestinationStream): Logger {
  const options: LoggerOptions = {
    level,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    // Also what jobs log by themselves: a driver's error message with a URL in it is easily passed on.
    hooks: { streamWrite: redact },
  };
  return destination ? pino(options, destination) : pino(options);
}

/** An error as a log line shows it: no fields of its own, in which libraries put requests and rows. */
function errorFields(thrown: unknown): object {
  const { name, message, stack } = recordError(thrown);
  return { name, message: redact(message), ...(stack === undefined ? {} : { stack: redact(stack) }) };
}

/** Milliseconds with at most three digits behind the point. */
function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
