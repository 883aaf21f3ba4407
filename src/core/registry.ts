/** Job classes by the name they travel by, checked once. */
import { checkQueueName } from '../../topology/names.ts';
import type { Isolation, JobClass } from '../job.ts';
import { isJobClass, jobNameOf } from '../job.ts';
import { type RetryPolicy, retryPolicy } from './backoff.ts';
import { LONGEST_TIMER_MS, parseDuration } from './duration.ts';
import { LONGEST_SHORT_STRING } from './envelope.ts';
import { ConfigurationError } from './errors.ts';

/** A job class with its options checked and defaults filled in. */
export interface Registration {
  readonly name: string;
  readonly queue: string;
  readonly job: JobClass;
  readonly policy: RetryPolicy;
  /** In ms; undefined: no limit. */
  readonly timeoutMs: number | undefined;
  readonly isolation: Isolation;
  readonly maxCrashes: number;
}

export const DEFAULT_QUEUE = 'default';

export class Registry {
  readonly #byName = new Map<string, Registration>();

  /** @throws ConfigurationError for a class that cannot be, or two of one name */
  constructor(jobs: Iterable<JobClass>) {
    for (const job of new Set(listed(jobs))) this.#add(register(job));
  }

  #add(registration: Registration): void {
    if (this.#byName.has(registration.name))
      throw new ConfigurationError(
        `two job classes are called '${registration.name}'; give one of them a static jobName of its own`,
      );
    this.#byName.set(registration.name, registration);
  }

  get(name: string | undefined): Registration | undefined {
    return name === undefined ? undefined : this.#byName.get(name);
  }

  get all(): Registration[] {
    return [...this.#byName.values()];
  }

  /** The work queues that some job names as its own. */
  get queues(): string[] {
    return [...new Set(this.all.map(({ queue }) => queue))];
  }

  /** Every delay in ms that some policy can ask for. */
  get delays(): number[] {
    return this.all.flatMap(({ policy }) => policy.delays);
  }
}

/** @throws ConfigurationError */
export function register(job: JobClass): Registration {
  if (!isJobClass(job)) throw new ConfigurationError(`${called(job)} is no class that extends Job`);
  const name = jobNameOf(job);
  const owner = `job ${name || '(without a name)'}`;
  if (typeof name !== 'string' || name === '' || Buffer.byteLength(name) > LONGEST_SHORT_STRING)
    throw new ConfigurationError(
      `${owner}: a job needs a name of 1 to ${LONGEST_SHORT_STRING} bytes; set its static jobName`,
    );
  if (typeof job.prototype?.perform !== 'function')
    throw new ConfigurationError(`${owner}: it has no perform(payload, context) method`);
  checkSchema(job, owner);
  checkIdempotent(job, owner);
  return {
    name,
    queue: checkQueueName(job.queue ?? DEFAULT_QUEUE, `${owner}: `),
    job,
    policy: retryPolicy(job.retry, owner),
    timeoutMs: job.timeout === undefined ? undefined : timeoutMs(job, owner),
    isolation: checkIsolation(job.isolation ?? 'inline', owner),
    maxCrashes: checkMaxCrashes(job.maxCrashes ?? DEFAULT_MAX_CRASHES, owner),
  };
}

/** JavaScript callers forget the list, or the brackets. */
function listed(jobs: Iterable<JobClass>): Iterable<JobClass> {
  if (typeof jobs === 'object' && jobs !== null && Symbol.iterator in jobs) return jobs;
  throw new ConfigurationError(
    `jobs must be a list of job classes such as [SendReceipt], not ${called(jobs)}`,
  );
}

const ISOLATIONS: readonly Isolation[] = ['inline', 'process', 'thread'];

function checkIsolation(isolation: string, owner: string): Isolation {
  const known = ISOLATIONS.find((one) => one === isolation);
  if (known) return known;
  throw new ConfigurationError(
    `${owner}: isolation must be one of ${ISOLATIONS.join(', ')}, not ${String(isolation)}`,
  );
}

const DEFAULT_MAX_CRASHES = 3;
/** What `warren-crashes` is read up to. */
const MOST_CRASHES = 1000;

function checkMaxCrashes(crashes: number, owner: string): number {
  if (Number.isInteger(crashes) && crashes >= 1 && crashes <= MOST_CRASHES) return crashes;
  throw new ConfigurationError(
    `${owner}: maxCrashes must be a whole number from 1 to ${MOST_CRASHES}, not ${String(crashes)}`,
  );
}

function called(value: unknown): string {
  return typeof value === 'function' && value.name
    ? value.name
    : `a ${value === null ? 'null' : typeof value}`;
}

function checkSchema({ payload }: JobClass, owner: string): void {
  if (payload !== undefined && typeof payload?.['~standard']?.validate !== 'function')
    throw new ConfigurationError(
      `${owner}: its static payload is no Standard Schema; zod, valibot and arktype make one`,
    );
}

function checkIdempotent({ idempotent }: JobClass, owner: string): void {
  if (idempotent === undefined || typeof idempotent === 'boolean') return;
  const { key, keep } = idempotent ?? {};
  if (
    typeof idempotent !== 'object' ||
    idempotent === null ||
    (key !== undefined && typeof key !== 'function')
  )
    throw new ConfigurationError(
      `${owner}: its static idempotent must be true or { key, keep }, key a function`,
    );
  if (keep !== undefined) parseDuration(keep, `${owner}: idempotent.keep`);
}

function timeoutMs(job: JobClass, owner: string): number {
  const ms = parseDuration(job.timeout ?? 0, `${owner}: timeout`);
  if (ms < 1 || ms > LONGEST_TIMER_MS)
    throw new ConfigurationError(`${owner}: a timeout must be 1ms to 24d, not ${job.timeout}`);
  return ms;
}
