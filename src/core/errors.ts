import type { Difference } from '../../topology/differences.ts';

/**
 * The errors a user of warren can meet. Each has a `code` that never changes its meaning
 * and is never reused, and a message that says what happened, to what, and what to do next.
 */
export abstract class WarrenError extends Error {
  abstract readonly code: string;
  override get name(): string {
    return this.constructor.name;
  }
}

/** The environment, a config file, a job class or an option cannot be used as it is. Exit code 78. */
export class ConfigurationError extends WarrenError {
  readonly code = 'WARREN_CONFIGURATION';
}

/** No broker could be reached in the time given. Exit code 4. */
export class BrokerUnreachableError extends WarrenError {
  readonly code = 'WARREN_BROKER_UNREACHABLE';
}

/**
 * What stands on the broker differs from what is wanted. Exit code 3. `differences` says it as data. `created`: what had
 * been made all the same before a permission was found lacking; `present`: what stood as wanted.
 */
export class TopologyMismatchError extends WarrenError {
  readonly code = 'WARREN_TOPOLOGY_MISMATCH';
  readonly differences: readonly Difference[];
  readonly created: readonly string[];
  readonly present: readonly string[];

  constructor(
    message: string,
    differences: readonly Difference[] = [],
    { created = [], present = [] }: { created?: readonly string[]; present?: readonly string[] } = {},
  ) {
    super(message);
    this.differences = differences;
    this.created = created;
    this.present = present;
  }
}

/**
 * A job was not kept, or it is not known whether it was. Base of all that `enqueue` rejects with, but for a
 * ConfigurationError where the call itself is wrong.
 */
export abstract class PublishError extends WarrenError {
  /** Short word for metrics: `unroutable`, `blocked`, `deadline`, `refused`, `closed`, `invalid`, `too-large`. */
  abstract readonly reason: string;
}

/** No queue took the message: queue, binding or exchange is missing. */
export class UnroutableError extends PublishError {
  readonly code = 'WARREN_UNROUTABLE';
  readonly reason = 'unroutable';
}

/** The broker takes no messages now (memory or disk alarm) and did not before the deadline. */
export class BlockedError extends PublishError {
  readonly code = 'WARREN_BLOCKED';
  readonly reason = 'blocked';
}

/** No confirm came before the deadline. The job may or may not be stored; enqueue again with the same id. */
export class DeadlineError extends PublishError {
  readonly code = 'WARREN_DEADLINE';
  readonly reason = 'deadline';
}

/** The broker said no (queue full, no permission) and did so until the deadline. */
export class RefusedError extends PublishError {
  readonly code = 'WARREN_REFUSED';
  readonly reason = 'refused';
}

/** The client or broker object was closed before the job was kept. */
export class ClosedError extends PublishError {
  readonly code = 'WARREN_CLOSED';
  readonly reason = 'closed';
}

/** The payload is not JSON, or does not fit the schema of its job. */
export class PayloadInvalidError extends PublishError {
  readonly code = 'WARREN_PAYLOAD_INVALID';
  readonly reason = 'invalid';
}

/** The encoded payload is larger than the limit. */
export class PayloadTooLargeError extends PublishError {
  readonly code = 'WARREN_PAYLOAD_TOO_LARGE';
  readonly reason = 'too-large';
}

/** Of many jobs some were not kept. `failed` says which and why; the others are enqueued. */
export class EnqueueManyError extends PublishError {
  readonly code = 'WARREN_ENQUEUE_MANY';
  readonly reason: string;
  readonly enqueued: readonly { id: string; queue: string }[];
  readonly failed: readonly { index: number; id: string; error: PublishError }[];

  constructor(enqueued: EnqueueManyError['enqueued'], failed: EnqueueManyError['failed']) {
    const first = failed[0]?.error;
    super(
      `${failed.length} of ${failed.length + enqueued.length} jobs were not enqueued, the first because: ${first?.message}; ` +
        'enqueue those in .failed again with their ids',
    );
    this.reason = first?.reason ?? 'deadline';
    this.enqueued = enqueued;
    this.failed = failed;
  }
}

/**
 * A job took the process down that ran it, or kept it from answering. The evidence that a death leaves:
 * `error` of the event `job.crashed`, and `warren-error` of the job.
 */
export class JobCrashedError extends WarrenError {
  readonly code = 'WARREN_JOB_CRASHED';
  /** Of the child; null where a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** The last it wrote to stderr, a few KiB at most. */
  readonly stderr: string;

  constructor(message: string, evidence: { exitCode: number | null; signal: string | null; stderr: string }) {
    super(message);
    this.exitCode = evidence.exitCode;
    this.signal = evidence.signal;
    this.stderr = evidence.stderr;
    // Our own stack would say nothing of the job; what its process said last may say all.
    this.stack =
      evidence.stderr === '' ? `${this.name}: ${message}` : `${this.name}: ${message}\n${evidence.stderr}`;
  }
}
