/** Why a publication failed: what happened, to what, and what to do next. */
import {
  BlockedError,
  ClosedError,
  DeadlineError,
  PayloadInvalidError,
  PayloadTooLargeError,
  type PublishError,
  RefusedError,
  UnroutableError,
} from '../core/errors.ts';
import { messageOf } from '../deadline.ts';
import type { Entry } from './entry.ts';

const AGAIN = 'Send it again with the same id: whoever runs it can tell a double by it.';

export function unroutable(entry: Entry, broker: string): UnroutableError {
  return new UnroutableError(
    `${nameOf(entry)} was not kept: no queue took it (the broker says: ${broker}). ` +
      'Is the queue declared? Run `warren topology apply`, or start a worker for it.',
  );
}

export function forbidden(entry: Entry, broker: string): RefusedError {
  return new RefusedError(
    `${nameOf(entry)} was not kept: the broker forbids it (${broker}). ` +
      'Give the user write permission on that exchange (`rabbitmqctl set_permissions`).',
  );
}

export function refused(entry: Entry, broker: string): RefusedError {
  return new RefusedError(
    `${nameOf(entry)} was not kept: the broker refused it ${times(entry.refusals)} (${broker}). ` +
      'Is its queue full, or without a majority of its nodes?',
  );
}

export function poisonous(entry: Entry, broker: string): RefusedError {
  return new RefusedError(
    `${nameOf(entry)} was not kept: the broker closes the channel each time it is sent (${broker}). ` +
      'Look at its headers and properties.',
  );
}

export function tooLarge(entry: Entry, broker: string): PayloadTooLargeError {
  return new PayloadTooLargeError(
    `${nameOf(entry)} was not kept: its body of ${entry.publication.body.length} bytes is larger than the broker takes (${broker}). ` +
      'Store the data elsewhere and send a reference to it.',
  );
}

export function unencodable(entry: Entry, cause: unknown): PayloadInvalidError {
  return new PayloadInvalidError(
    `${nameOf(entry)} was not sent: its headers or properties cannot be written as AMQP (${messageOf(cause)}). ` +
      'Headers hold strings, finite numbers, booleans, lists and tables, 64 KiB in all.',
    { cause },
  );
}

export function aborted(entry: Entry): ClosedError {
  return new ClosedError(`${nameOf(entry)} was given up by its caller. ${fateOf(entry)}`);
}

export function closed(entry: Entry): ClosedError {
  return new ClosedError(`${nameOf(entry)}: the broker was closed before it confirmed. ${fateOf(entry)}`);
}

/** What is known of the connection when a deadline passes. */
export interface Circumstances {
  server: string;
  isUp: boolean;
  reason: string;
  blockedBy: string | undefined;
}

export function overdue(entry: Entry, now: Circumstances): PublishError {
  const waited = `${Math.round(entry.deadline - entry.startedAt)} ms`;
  const what = `${nameOf(entry)} was not confirmed within ${waited}`;
  if (now.blockedBy !== undefined)
    return new BlockedError(
      `${what}: ${now.server} takes no messages (${now.blockedBy}). ${fateOf(entry)} Free memory or disk on the broker.`,
    );
  if (entry.refused !== undefined) return refused(entry, entry.refused);
  const why = now.isUp ? `${now.server} did not answer` : `not connected to ${now.server} (${now.reason})`;
  return new DeadlineError(`${what}: ${why}. ${fateOf(entry)}`);
}

/** Its channel went before the confirm, and it is not to be sent again. */
export function unconfirmed(entry: Entry): DeadlineError {
  return new DeadlineError(
    `${nameOf(entry)}: its channel was lost before the confirm. It may or may not be stored.`,
  );
}

function fateOf(entry: Entry): string {
  return entry.sent ? `It may or may not be stored. ${AGAIN}` : 'It was never sent.';
}

function nameOf({ publication: { exchange, routingKey, properties } }: Entry): string {
  const id = properties.messageId === undefined ? 'A message' : `Message '${properties.messageId}'`;
  return `${id} for '${routingKey}' (exchange '${exchange}')`;
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`;
}
