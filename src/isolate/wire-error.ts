/** Errors across the boundary: their class stays behind, except for those that `enqueue` rejects with. */
import { recordError } from '../core/error-record.ts';
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
import { JobTimeoutError, WorkerStoppingError } from '../run/attempt.ts';
import { AckTimeoutError } from '../run/taken-back.ts';
import type { AbortReason, WireError } from './protocol.ts';

export function toWire(thrown: unknown): WireError {
  const code = codeOf(thrown);
  return { ...recordError(thrown), ...(typeof code === 'string' && { code }) };
}

/** Never throws, whatever was thrown: nobody would hear how the run ended. */
function codeOf(thrown: unknown): unknown {
  try {
    return (thrown as { code?: unknown } | undefined | null)?.code;
  } catch {
    return undefined;
  }
}

/** An Error that shows what the first one showed. */
export function fromWire({ name, message, stack, code }: WireError): Error {
  const error = new Error(message);
  Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true });
  error.stack = stack ?? `${name}: ${message}`;
  return code === undefined ? error : Object.assign(error, { code });
}

const PUBLISH_ERRORS: readonly (new (message: string) => PublishError)[] = [
  UnroutableError,
  BlockedError,
  DeadlineError,
  RefusedError,
  ClosedError,
  PayloadInvalidError,
  PayloadTooLargeError,
];

const BY_CODE = new Map(PUBLISH_ERRORS.map((kind) => [new kind('').code, kind]));

/** Typed again, so that a job can tell them apart with `instanceof`, too. */
export function publishErrorFrom(wire: WireError): Error {
  const kind = BY_CODE.get(wire.code ?? '');
  return kind ? new kind(wire.message) : fromWire(wire);
}

/** Why a job is asked to stop, in the class that it would have inline. */
export function abortReason(reason: AbortReason): Error {
  if (reason.kind === 'stopping') return new WorkerStoppingError();
  return reason.kind === 'timeout'
    ? new JobTimeoutError(reason.message)
    : new AckTimeoutError(reason.message);
}
