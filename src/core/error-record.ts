/** Errors as they travel and are logged: a name, words and a stack, each of bounded size. Pure. */

/** An error as it travels in `warren-error`. */
export interface ErrorRecord {
  name: string;
  message: string;
  stack?: string | undefined;
}

/** amqplib cannot encode a header table above 64 KiB, so an error must leave room for the user's own. */
const ERROR_TEXT_BYTES = 4096;
/** Any thrown value as a record of bounded size. Never throws, whatever was thrown. */
export function recordError(thrown: unknown): ErrorRecord {
  return safely(() => describeThrown(thrown)) ?? { name: 'Error', message: 'an error that cannot be shown' };
}

function describeThrown(thrown: unknown): ErrorRecord {
  if (!isErrorLike(thrown)) return { name: 'Error', message: cut(inWords(thrown)) };
  return {
    name: cut(safely(() => String(thrown.name ?? '')) || 'Error'),
    message: cut(safely(() => String(thrown.message)) ?? 'a message that cannot be shown'),
    stack: safely(() => (typeof thrown.stack === 'string' ? cut(thrown.stack) : undefined)),
  };
}

/** Errors of another realm (a vm, a test runner) and bare `{ message }` objects are errors too. */
function isErrorLike(value: unknown): value is { name?: unknown; message: unknown; stack?: unknown } {
  return value instanceof Error || (typeof value === 'object' && value !== null && 'message' in value);
}

/** `throw { code: 5 }` shall read as that, and not as `[object Object]`. */
function inWords(value: unknown): string {
  const plain = typeof value === 'object' ? safely(() => JSON.stringify(value)) : undefined;
  return plain ?? safely(() => String(value)) ?? 'a value that cannot be shown';
}

function safely<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** At most 4 KiB of UTF-8, cut between characters. */
export function cut(value: string): string {
  if (value.length * 3 <= ERROR_TEXT_BYTES || Buffer.byteLength(value) <= ERROR_TEXT_BYTES) return value;
  return Buffer.from(value).subarray(0, ERROR_TEXT_BYTES).toString('utf8').replace(/�+$/, '');
}
