/** What a job logs or tells, as data that crosses the boundary. Never throws, whatever it is given. */
import { pino } from 'pino';
import { recordError } from '../core/error-record.ts';

export interface PlainFields {
  fields: object | undefined;
  /** What stood in `err`, which loggers show in a way of their own. */
  err?: PlainError | undefined;
}

interface PlainError {
  type: string;
  message: string;
  stack?: string | undefined;
}

export function plainFields(given: object | null | undefined): PlainFields {
  const { err, ...rest } = ownValues(given);
  const fields = given
    ? Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, plainValue(value)]))
    : undefined;
  if (err === undefined) return { fields };
  if (err instanceof Error) return { fields, err: plainError(err) };
  return { fields: { ...fields, err: plainValue(err) } };
}

/** A getter may throw. */
function ownValues(given: object | null | undefined): { err?: unknown } {
  try {
    return { ...given };
  } catch {
    return {};
  }
}

/** One that holds itself is shown without what it carries. */
function plainError(err: Error): PlainError {
  const shown = plainValue(pino.stdSerializers.err(err));
  if (typeof shown === 'object' && shown !== null) return shown as PlainError;
  const { name, message, stack } = recordError(err);
  return { type: name, message, stack };
}

/** In the parent: the fields again, with an error that its logger shows as it would have shown the first. */
export function loggable({ fields, err }: PlainFields): object | undefined {
  return err ? { ...fields, err: revived(err) } : fields;
}

/**
 * A logger looks at the name of the class, of which there is none here. What the error carries is defined, never
 * assigned: it may well be called `name`.
 */
function revived({ type, message, stack, ...more }: PlainError): Error {
  const error = new Error(message);
  if (stack !== undefined) error.stack = stack;
  Object.defineProperty(error, 'name', { value: type, configurable: true });
  Object.defineProperty(error, 'constructor', { value: undefined, configurable: true });
  return Object.defineProperties(error, Object.getOwnPropertyDescriptors(more));
}

export function plainValue(value: unknown): unknown {
  try {
    const json = JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? Number(inner) : inner));
    return json === undefined ? undefined : JSON.parse(json);
  } catch {
    return inWords(value);
  }
}

/** It holds itself. */
function inWords(value: unknown): string {
  try {
    return String(value);
  } catch {
    return 'a value that cannot be shown';
  }
}
