/** How long a failed job waits. Pure: an attempt and an error in, milliseconds out. */
import { type Duration, formatDuration, parseDuration } from './duration.ts';
import { ConfigurationError } from './errors.ts';

export interface ExponentialBackoff {
  readonly first: Duration;
  readonly factor: number;
  readonly max: Duration;
}

/**
 * The wait after the failed attempt `attempt` (from 1). One that `delays` does not name waits on the levels, or, where
 * there are none and none may be declared, on the shortest of `delays` that is not shorter.
 */
export type ComputedBackoff = (attempt: number, error: unknown) => Duration;

export type Backoff = ExponentialBackoff | readonly Duration[] | ComputedBackoff;

/**
 * Waits that grow by `factor`: `first`, `first × factor`, … never above `max`. What lies between the two is
 * rounded up to whole seconds from 1 s upwards, so that the queue named after it has a name one can read.
 */
export function exponential(options: ExponentialBackoff): ExponentialBackoff {
  return { ...options };
}

type ErrorClass = abstract new (...args: never[]) => Error;

/** What happens to a job that throws. */
export interface RetryOptions {
  /** How many times `perform` may run in all, from 1, default 12. */
  attempts?: number;
  /** Default `exponential({ first: '3s', factor: 10, max: '24h' })`. A list's last wait repeats. */
  backoff?: Backoff;
  /** Further delays that a computed back-off or a `snooze` of this job needs. */
  delays?: readonly Duration[];
  /** Errors that no retry can mend: the job is dead at once. Classes, or a function that tells at once. */
  unless?: readonly ErrorClass[] | ((error: unknown) => boolean);
}

/** A checked policy. */
export interface RetryPolicy {
  readonly attempts: number;
  /** Every wait it can ask for, in ms. */
  readonly delays: readonly number[];
  /** The wait in ms after failed attempt `attempt` (from 1). May throw what a user's function throws. */
  wait(attempt: number, error: unknown): number;
  isFinal(error: unknown): boolean;
}

export const DEFAULT_RETRY = {
  attempts: 12,
  backoff: exponential({ first: '3s', factor: 10, max: '24h' }),
} satisfies RetryOptions;

const MOST_ATTEMPTS = 1000;
const KNOWN: ReadonlySet<string> = new Set([
  'attempts',
  'backoff',
  'delays',
  'unless',
] satisfies (keyof RetryOptions)[]);

/** @throws ConfigurationError naming `owner` when the options cannot be. */
export function retryPolicy(options: RetryOptions = {}, owner = 'retry'): RetryPolicy {
  checkShape(options, owner);
  const attempts = checkAttempts(options.attempts ?? DEFAULT_RETRY.attempts, owner);
  const declared = listOf(options.delays ?? [], 'delays', owner);
  const { delays, wait } = waits(options.backoff ?? DEFAULT_RETRY.backoff, attempts, declared, owner);
  return { attempts, delays: [...delays, ...declared], wait, isFinal: finality(options.unless, owner) };
}

/** TypeScript lets a misspelt static property pass. */
function checkShape(options: RetryOptions, owner: string): void {
  if (!isObject(options))
    throw new ConfigurationError(`${owner}: retry must be an object such as { attempts: 5 }, not ${options}`);
  const stranger = Object.keys(options).find((key) => !KNOWN.has(key));
  if (stranger !== undefined)
    throw new ConfigurationError(
      `${owner}: retry has no option '${stranger}'; it knows ${[...KNOWN].join(', ')}`,
    );
}

function checkAttempts(attempts: number, owner: string): number {
  if (Number.isInteger(attempts) && attempts >= 1 && attempts <= MOST_ATTEMPTS) return attempts;
  throw new ConfigurationError(
    `${owner}: attempts must be a whole number from 1 to ${MOST_ATTEMPTS}, not ${attempts}`,
  );
}

type Waits = Pick<RetryPolicy, 'wait' | 'delays'>;

function waits(backoff: Backoff, attempts: number, declared: readonly number[], owner: string): Waits {
  if (typeof backoff === 'function') return computed(backoff, declared, owner);
  const ladder = Array.isArray(backoff)
    ? listed(backoff, owner)
    : climbing(backoff as ExponentialBackoff, attempts, owner);
  // Cut to what can be asked for, so that no wait is without its queue: a crash may count further than attempts do.
  const delays = ladder.slice(0, longestLadder(attempts));
  return { delays, wait: (attempt) => delays[Math.min(attempt, delays.length) - 1] as number };
}

function computed(backoff: ComputedBackoff, declared: readonly number[], owner: string): Waits {
  if (declared.length === 0)
    throw new ConfigurationError(
      `${owner}: a back-off function needs 'delays', the waits it may choose from`,
    );
  return {
    delays: [],
    wait: (attempt, error) => parseDuration(backoff(attempt, error), `${owner}: what its back-off returned`),
  };
}

/** One wait between two attempts; a job of one attempt has one too, for a crash. */
function longestLadder(attempts: number): number {
  return Math.max(attempts - 1, 1);
}

function listed(list: readonly Duration[], owner: string): number[] {
  if (list.length === 0) throw new ConfigurationError(`${owner}: the list of waits is empty`);
  return listOf(list, 'backoff', owner);
}

function listOf(list: readonly Duration[], what: string, owner: string): number[] {
  if (!Array.isArray(list))
    throw new ConfigurationError(`${owner}: ${what} must be a list such as ['3s', '5m']`);
  return list.map((delay) => rungMs(delay, what, owner));
}

function climbing(backoff: ExponentialBackoff, attempts: number, owner: string): number[] {
  if (!isObject(backoff))
    throw new ConfigurationError(
      `${owner}: backoff must be exponential({ first, factor, max }), a list or a function`,
    );
  const { first, factor, max } = backoff;
  if (!Number.isFinite(factor) || factor < 1)
    throw new ConfigurationError(`${owner}: the factor of a back-off must be 1 or more, not ${factor}`);
  return ladder(rungMs(first, 'first', owner), factor, rungMs(max, 'max', owner), longestLadder(attempts));
}

function ladder(first: number, factor: number, max: number, length: number): number[] {
  const steps = [Math.min(first, max)];
  for (let ms = first * factor; steps.length < length && steps.at(-1) !== max; ms *= factor)
    steps.push(Math.min(roundedUp(ms), max));
  return steps;
}

/** Up, because nothing may come back early. The little that is taken off is what multiplying added by mistake. */
function roundedUp(ms: number): number {
  const unit = ms >= 1000 ? 1000 : 1;
  return Math.ceil(ms / unit - 1e-6) * unit;
}

function rungMs(delay: Duration, what: string, owner: string): number {
  const ms = parseDuration(delay, `${owner}: ${what}`);
  if (ms < 1)
    throw new ConfigurationError(`${owner}: ${what}: ${formatDuration(ms)} is no wait; the shortest is 1ms`);
  return ms;
}

function finality(unless: RetryOptions['unless'], owner: string): (error: unknown) => boolean {
  if (unless === undefined) return () => false;
  // A class alone would be called as if it were a function that tells, and say yes to everything.
  if (isErrorClass(unless)) return (error) => error instanceof unless;
  if (typeof unless === 'function') return (error) => atOnce(unless(error), owner);
  if (!Array.isArray(unless) || !unless.every(isClass))
    throw new ConfigurationError(
      `${owner}: unless must be a list of error classes, or a function of the error`,
    );
  return (error) => unless.some((kind) => error instanceof kind);
}

/** A promise would count as yes, whatever it comes to. */
function atOnce(answer: unknown, owner: string): boolean {
  if (isObject(answer)) throw new ConfigurationError(`${owner}: unless must return true or false at once`);
  return Boolean(answer);
}

function isErrorClass(value: unknown): value is ErrorClass {
  return isClass(value) && (value === Error || value.prototype instanceof Error);
}

function isClass(value: unknown): value is ErrorClass {
  return typeof value === 'function' && isObject(value.prototype);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
