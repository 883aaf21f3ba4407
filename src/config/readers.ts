/** Reading one value of a kind, from code, an environment variable, a flag or a file. Pure. */
import { checkQueueName, namesFor } from '../../topology/names.ts';
import { LONGEST_TIMER_MS, parseDuration } from '../core/duration.ts';
import { ConfigurationError } from '../core/errors.ts';
import type { Middleware } from '../core/middleware.ts';
import type { NamedSchedule } from '../core/schedule.ts';
import type { QueueOptions } from '../options.ts';

/** @throws ConfigurationError saying what is wrong with the value and what is allowed, but not where it stood. */
export type Reader<T> = (value: unknown) => T;

/** AMQP's prefetch is a 16-bit number. */
const MOST_PREFETCH = 65_535;

/** Milliseconds. As text a bare number other than 0 is refused: `30` might mean seconds. */
export const timer: Reader<number> = (value) => {
  const allowed = `a duration such as '500ms', '30s', '5m' or '1h', at most 24d`;
  const isNumber = typeof value === 'number' || value === '0';
  if (!isNumber && typeof value !== 'string') throw refused(value, 'is no duration', allowed);
  const ms = isNumber ? Number(value) : durationOrNaN(value as string);
  if (!(ms >= 0 && ms <= LONGEST_TIMER_MS)) throw refused(value, 'is no usable duration', allowed);
  return Math.round(ms);
};

function durationOrNaN(text: string): number {
  try {
    return parseDuration(text);
  } catch {
    return Number.NaN;
  }
}

export function wholeNumber(least: number, most: number): Reader<number> {
  return (value) => {
    const number = typeof value === 'string' && /^\d+$/.test(value.trim()) ? Number(value) : value;
    if (typeof number !== 'number' || !Number.isInteger(number) || number < least || number > most)
      throw refused(value, 'cannot be used', `a whole number from ${least} to ${most}`);
    return number;
  };
}

/** More than this is a slip: each is a Node process with two connections. */
const MOST_PROCESSES = 256;

export const processes: Reader<number | 'auto'> = (value) => {
  if (value === 'auto') return 'auto';
  try {
    return wholeNumber(1, MOST_PROCESSES)(value);
  } catch {
    throw refused(value, 'cannot be used', `'auto' or a whole number from 1 to ${MOST_PROCESSES}`);
  }
};

export function oneOf<T extends string>(...words: readonly T[]): Reader<T> {
  return (value) => {
    if (typeof value !== 'string' || !words.includes(value as T))
      throw refused(value, 'is not one of them', words.join(', '));
    return value as T;
  };
}

export const middleware: Reader<readonly Middleware[]> = (value) => {
  if (!Array.isArray(value) || !value.every((one) => typeof one === 'function'))
    throw refused(value, 'is no middleware', 'a list of functions (run, next) => result');
  return value;
};

const WORDS = new Map([
  ...['true', 'on', 'yes', '1'].map((word) => [word, true] as const),
  ...['false', 'off', 'no', '0'].map((word) => [word, false] as const),
]);

export const flag: Reader<boolean> = (value) => {
  const read = typeof value === 'string' ? WORDS.get(value.toLowerCase()) : value;
  if (typeof read !== 'boolean') throw refused(value, 'is neither yes nor no', 'true, false, on, off');
  return read;
};

export const text: Reader<string> = (value) => {
  if (typeof value !== 'string' || value === '')
    throw refused(value, 'cannot be used', 'a text that is not empty');
  return value;
};

export const namespace: Reader<string> = (value) => {
  if (typeof value !== 'string') throw refused(value, 'cannot be used', 'a text');
  return namesFor(value).namespace;
};

/**
 * One or more broker URLs. A comma parts two of them only in front of a scheme, because a password may hold one.
 * No message shows the value: a URL that cannot be parsed can still hold a password.
 */
export const urls: Reader<readonly string[]> = (value) => {
  const list = Array.isArray(value)
    ? value
    : typeof value === 'string'
      ? value.split(/,(?=\s*[a-z]+:\/\/)/i)
      : [];
  if (list.length === 0) throw new ConfigurationError(`no broker URL in it; allowed: ${URLS_ALLOWED}`);
  return Object.freeze(list.map((url, index) => brokerUrl(url, list.length > 1 ? `URL ${index + 1} ` : '')));
};

const URLS_ALLOWED = 'amqp://user:password@host:port/vhost or amqps://…, several separated by commas';

function brokerUrl(value: unknown, which: string): string {
  const url = typeof value === 'string' ? value.trim() : '';
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const problem = !parsed
    ? 'is no URL (are special characters in the password percent-encoded?)'
    : !['amqp:', 'amqps:'].includes(parsed.protocol)
      ? `begins with '${parsed.protocol}'`
      : parsed.hostname === '' || parsed.hostname.includes(',')
        ? 'names no usable host'
        : undefined;
  if (problem) throw new ConfigurationError(`${which}${problem}; allowed: ${URLS_ALLOWED}`);
  return url;
}

/** What is said of each queue; fields left out are taken from elsewhere. */
export type QueueWishes = Readonly<Record<string, QueueOptions>>;

/** `'mail:20,report:2'`, a list of such entries, or the table of code and config files. */
export const queues: Reader<QueueWishes> = (value) => {
  if (typeof value === 'string' || Array.isArray(value)) return queuesFromText(value);
  if (!isPlainObject(value)) throw refused(value, 'names no queues', QUEUES_ALLOWED);
  return Object.fromEntries(
    Object.entries(value).map(([name, wishes]) => [checkQueueName(name), queueOptions(name, wishes)]),
  );
};

const QUEUES_ALLOWED = `'NAME' or 'NAME:CONCURRENCY', several separated by commas`;

function queuesFromText(value: string | unknown[]): QueueWishes {
  const entries = [value].flat().flatMap((entry) => String(entry).split(','));
  const named = entries.map((entry) => queueEntry(entry.trim()));
  const twice = named.find(([name], index) => named.findIndex(([other]) => other === name) !== index);
  if (twice) throw new ConfigurationError(`queue '${twice[0]}' is named twice`);
  return Object.fromEntries(named);
}

/** The number stands behind the last colon, because a queue's name may hold colons: `a:b` is a queue, `a:2x` a slip. */
function queueEntry(entry: string): [string, QueueOptions] {
  const [, name, count] = /^(.*?)(?::((?:[\d.-][^:]*)?))?$/s.exec(entry) ?? [];
  if (!name) throw refused(entry, 'names no queue', QUEUES_ALLOWED);
  return [
    checkQueueName(name),
    count === undefined ? {} : { concurrency: inQueue(name, 'concurrency', concurrency, count) },
  ];
}

export const concurrency = wholeNumber(1, MOST_PREFETCH);

const prefetch: Reader<number | 'auto'> = (value) => {
  if (value === 'auto') return 'auto';
  try {
    return wholeNumber(1, MOST_PREFETCH)(value);
  } catch {
    throw refused(value, 'cannot be used', `'auto' or a whole number from 1 to ${MOST_PREFETCH}`);
  }
};

const QUEUE_READERS: { [Field in keyof QueueOptions]-?: Reader<NonNullable<QueueOptions[Field]>> } = {
  concurrency,
  prefetch,
  type: oneOf('quorum', 'classic'),
};

function queueOptions(queue: string, value: unknown): QueueOptions {
  if (!isPlainObject(value))
    throw refused(value, `is no description of queue '${queue}'`, '{ concurrency, prefetch, type }');
  const given = Object.entries(value).filter(([, wish]) => wish !== undefined);
  return Object.fromEntries(given.map(([field, wish]) => [field, queueField(queue, field, wish)]));
}

function queueField(queue: string, field: string, wish: unknown): unknown {
  if (!Object.hasOwn(QUEUE_READERS, field))
    throw new ConfigurationError(
      `queue '${queue}' has no setting '${field}'; allowed: ${Object.keys(QUEUE_READERS).join(', ')}`,
    );
  return inQueue<unknown>(queue, field, QUEUE_READERS[field as keyof QueueOptions], wish);
}

function inQueue<T>(queue: string, field: string, read: Reader<T>, value: unknown): T {
  return located(`${field} of queue '${queue}'`, () => read(value));
}

const SCHEDULES_ALLOWED = `{ "nightly": { "job": "NightlyReport", "expression": "0 3 * * *" } }`;

/** What each of them says is checked with the jobs at hand. */
export const schedules: Reader<Readonly<Record<string, NamedSchedule>>> = (value) => {
  const table = typeof value === 'string' ? parsedJson(value) : value;
  if (!isPlainObject(table) || !Object.values(table).every(isPlainObject))
    throw refused(value, 'is no table of schedules', SCHEDULES_ALLOWED);
  return table as Readonly<Record<string, NamedSchedule>>;
};

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Puts the place in front of what is wrong. */
export function located<T>(where: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    throw new ConfigurationError(`${where}: ${error.message}`, { cause: error });
  }
}

export function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refused(value: unknown, problem: string, allowed: string): ConfigurationError {
  return new ConfigurationError(`${shown(value)} ${problem}; allowed: ${allowed}`);
}

function shown(value: unknown): string {
  const json = ['string', 'object', 'number'].includes(typeof value) ? JSON.stringify(value) : String(value);
  return json.slice(0, 80);
}
