/** How a run of a job can end, and what that means for the message. Pure. */
import type { RetryPolicy } from './backoff.ts';
import { type Duration, parseDuration } from './duration.ts';
import { type ErrorRecord, recordError } from './error-record.ts';
import { ConfigurationError, type JobCrashedError } from './errors.ts';

const CONTROL = Symbol.for('warren.control');

/** What `dead()` and `snooze()` make, for `perform` to return. */
export type Control =
  | { readonly [CONTROL]: 'dead'; readonly reason: string }
  | { readonly [CONTROL]: 'snooze'; readonly ms: number };

/** Return it from `perform`: the job can never succeed; it is parked in the dead queue with this sentence. */
export function dead(reason: string): Control {
  return { [CONTROL]: 'dead', reason: String(reason) };
}

/**
 * Return it from `perform`: not now, again after this long. Costs no attempt.
 * @throws ConfigurationError when it is no duration (which fails the attempt).
 */
export function snooze(duration: Duration): Control {
  return { [CONTROL]: 'snooze', ms: parseDuration(duration, 'snooze') };
}

export function isControl(value: unknown): value is Control {
  return typeof value === 'object' && value !== null && CONTROL in value;
}

/**
 * What `perform` returned, looked at once: where that throws, or where it asks for what there is not, the attempt has
 * failed. Nothing of a user's is run by the decision after this.
 */
export function returned(value: unknown): RunResult {
  try {
    return { kind: 'returned', value: isControl(value) ? checkedControl(value) : value };
  } catch (error) {
    return { kind: 'threw', error };
  }
}

/** Anybody can make one: another version of warren in the same project, above all. */
function checkedControl(value: Control): Control {
  if (value[CONTROL] === 'snooze') return snooze(value.ms);
  if (value[CONTROL] === 'dead') return dead(value.reason);
  throw new ConfigurationError(
    'perform returned what this version of warren does not know; is another one loaded beside it?',
  );
}

/** Why a job is in the dead queue, as the header `warren-reason` says it. */
export type DeadReason =
  | 'attempts-exhausted'
  | 'dead-by-job'
  | 'undecodable'
  | 'unknown-job'
  | 'invalid-payload'
  | 'crashed';

/** How one run of `perform` ended. */
export type RunResult =
  | { kind: 'returned'; value: unknown }
  | { kind: 'threw'; error: unknown }
  | { kind: 'timed-out'; error: Error }
  /** Drain took it back before it ended. */
  | { kind: 'released' }
  /** It took its process down. `crashes`: how often it had before, `most`: how often it may. */
  | { kind: 'crashed'; error: JobCrashedError; crashes: number; most: number }
  /** Bad input: it never began. */
  | { kind: 'unfit'; reason: DeadReason; error: ErrorRecord }
  /** No process could be had to run it in, which is no fault of the job. */
  | { kind: 'unstarted' };

/** What is done with the message. */
export type Outcome =
  | { kind: 'done' }
  /** `crashes` is said where they have changed. */
  | { kind: 'retry'; waitMs: number; attempt: number; error: ErrorRecord; crashes?: number }
  | { kind: 'snooze'; waitMs: number }
  | { kind: 'dead'; reason: DeadReason; error: ErrorRecord; crashes?: number }
  | { kind: 'release' };

/** The retry decision: how a run ended, its attempt and the policy of its job → what becomes of the message. */
export function decide(result: RunResult, attempt: number, policy: RetryPolicy): Outcome {
  switch (result.kind) {
    case 'returned':
      return decideReturned(result.value);
    case 'released':
      return { kind: 'release' };
    case 'crashed':
      return decideCrashed(result, attempt, policy);
    case 'unfit':
      return { kind: 'dead', reason: result.reason, error: result.error };
    case 'unstarted':
      return { kind: 'snooze', waitMs: Math.min(...policy.delays) };
    default:
      return decideFailed(result.error, attempt, policy);
  }
}

function decideReturned(value: unknown): Outcome {
  if (!isControl(value)) return { kind: 'done' };
  if (value[CONTROL] === 'snooze') return { kind: 'snooze', waitMs: value.ms };
  return { kind: 'dead', reason: 'dead-by-job', error: { name: 'Dead', message: value.reason } };
}

/** A user's part of the policy may throw as well. Then it does not decide: not final, and the longest wait. */
function decideFailed(thrown: unknown, attempt: number, policy: RetryPolicy): Outcome {
  const final = attempted(() => policy.isFinal(thrown));
  const last = attempt >= policy.attempts;
  const wait = attempted(() => (last ? 0 : policy.wait(attempt, thrown)));
  const error = withNote(recordError(thrown), final.broken ?? wait.broken);
  if (final.value) return { kind: 'dead', reason: 'dead-by-job', error };
  if (last) return { kind: 'dead', reason: 'attempts-exhausted', error };
  return { kind: 'retry', waitMs: wait.value ?? Math.max(...policy.delays), attempt: attempt + 1, error };
}

/**
 * A crash spends no attempt, and waits as long as that many failures would: on a rung that the policy has anyway.
 * The policy is asked about attempts that it knows, however many crashes there were.
 */
function decideCrashed(
  { error, crashes: before, most }: Extract<RunResult, { kind: 'crashed' }>,
  attempt: number,
  policy: RetryPolicy,
): Outcome {
  const crashes = before + 1;
  const record = recordError(error);
  if (crashes >= most) return { kind: 'dead', reason: 'crashed', error: record, crashes };
  const asked = Math.min(crashes, Math.max(policy.attempts - 1, 1));
  const wait = attempted(() => policy.wait(asked, error));
  return {
    kind: 'retry',
    waitMs: wait.value ?? Math.max(...policy.delays),
    attempt,
    error: withNote(record, wait.broken),
    crashes,
  };
}

interface Attempted<T> {
  value?: T;
  broken?: ErrorRecord;
}

function attempted<T>(call: () => T): Attempted<T> {
  try {
    return { value: call() };
  } catch (error) {
    return { broken: recordError(error) };
  }
}

function withNote(error: ErrorRecord, broken: ErrorRecord | undefined): ErrorRecord {
  if (!broken) return error;
  return { ...error, message: `${error.message} (and the retry policy threw: ${broken.message})` };
}
