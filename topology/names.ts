/**
 * Every name on the broker, made here and nowhere else.
 * A namespace is put in front of each of them, routing keys too: a routing key is a full queue name.
 */

import { formatDuration } from '../src/core/duration.ts';
import { ConfigurationError } from '../src/core/errors.ts';

export interface Names {
  readonly namespace: string;
  readonly jobs: string;
  readonly due: string;
  readonly dead: string;
  /** Where a job enters the levels of the any-time delays. */
  readonly later: string;
  readonly unrouted: string;
  readonly unroutedQueue: string;
  /** Exchange and queue of the next tick of each schedule; whoever consumes it leads. */
  readonly schedules: string;
  /** Exchange and queue of one message: the leader's state, for looking at. */
  readonly scheduleState: string;
  /** Full name of a user's work queue, also its routing key. */
  queue(queue: string): string;
  deadQueue(queue: string): string;
  /** Exchange and queue of one delay. */
  delay(ms: number): string;
  /** Exchange and queue of one level of the any-time delays, from 0. */
  level(level: number): string;
}

const QUEUE_SHAPE = /^[\p{L}\p{N}][\p{L}\p{N}_.:-]*$/u;
/** AMQP short strings hold 255 bytes; the rest is for a namespace in front and `.dead` behind. */
const LONGEST_QUEUE = 180;
const OURS = /^(jobs|unrouted|delayed-.*|schedule-\d\d|.*\.dead|schedules|schedules\.state|amq\..*)$/;

/** @throws ConfigurationError when a namespace would make names that the broker refuses. */
export function namesFor(namespace = ''): Names {
  if (namespace !== '' && !/^[A-Za-z0-9][A-Za-z0-9_-]{0,59}$/.test(namespace))
    throw new ConfigurationError(
      `namespace ${JSON.stringify(namespace)} cannot be used: 1 to 60 letters, digits, '-' and '_', beginning with a letter or digit`,
    );
  const prefix = namespace === '' ? '' : `${namespace}.`;
  return {
    namespace,
    jobs: `${prefix}jobs`,
    due: `${prefix}jobs.due`,
    dead: `${prefix}jobs.dead`,
    later: `${prefix}jobs.later`,
    unrouted: `${prefix}jobs.unrouted`,
    unroutedQueue: `${prefix}unrouted`,
    schedules: `${prefix}schedules`,
    scheduleState: `${prefix}schedules.state`,
    queue: (queue) => `${prefix}${queue}`,
    deadQueue: (queue) => `${prefix}${queue}.dead`,
    delay: (ms) => `${prefix}delayed-${formatDuration(ms)}`,
    level: (level) => `${prefix}schedule-${String(level).padStart(2, '0')}`,
  };
}

/**
 * A queue name a user may choose: letters, digits, `_ . : -`, not one of warren's own.
 * @throws ConfigurationError otherwise, its message beginning with `owner`
 */
export function checkQueueName(queue: string, owner = ''): string {
  if (typeof queue !== 'string' || !QUEUE_SHAPE.test(queue) || Buffer.byteLength(queue) > LONGEST_QUEUE)
    throw new ConfigurationError(
      `${owner}queue ${JSON.stringify(queue)} cannot be used: at most ${LONGEST_QUEUE} bytes of letters, digits, '_', '.', ':' and '-', beginning with a letter or digit`,
    );
  if (OURS.test(queue))
    throw new ConfigurationError(
      `${owner}queue ${JSON.stringify(queue)} cannot be used: warren keeps that name for itself`,
    );
  return queue;
}
