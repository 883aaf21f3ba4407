/** Code of the user's around each run of a job: tracing, transactions, idempotency. Pure. */
import type { JobClass, JobContext } from '../job.ts';
import { ConfigurationError } from './errors.ts';

/** One run of a job, as a middleware sees it. */
export interface JobRun {
  readonly job: JobClass;
  /** What `perform` will get: checked by the job's schema. */
  readonly payload: unknown;
  readonly context: JobContext;
  /** Aborts the job's signal for this reason. The run goes on until `perform` ends. */
  abort(reason: Error): void;
}

/**
 * A function around each run: `next` calls the next one, the innermost `perform`, and may be called once or never.
 * What it returns is taken as the job's own result (also `dead()` and `snooze()`), what it throws as the job's failure.
 */
export interface Middleware {
  (run: JobRun, next: () => Promise<unknown>): unknown;
  /** What jobs may rely on: those with a static `idempotent` need one that provides `'idempotency'`. */
  readonly provides?: string | undefined;
}

/** All of them as one, the first outermost; undefined for none, so that a run without any costs nothing. */
export function composed(middleware: readonly Middleware[]): Middleware | undefined {
  const [outer, ...rest] = middleware;
  if (outer === undefined || rest.length === 0) return outer;
  const inner = composed(rest) as Middleware;
  return (run, next) =>
    outer(
      run,
      once(() => inner(run, next)),
    );
}

/** A `next`: never throws but rejects, and does not run a job twice. */
export function once(call: () => unknown): () => Promise<unknown> {
  let called = false;
  return async () => {
    if (called) throw new Error('a middleware called next() twice; a run can only be made once');
    called = true;
    return call();
  };
}

/** @throws ConfigurationError for a job that counts on a middleware which is not there */
export function checkProvided(jobs: Iterable<JobClass>, middleware: readonly Middleware[]): void {
  if (middleware.some(({ provides }) => provides === 'idempotency')) return;
  for (const { idempotent, name } of jobs) {
    if (idempotent)
      throw new ConfigurationError(
        `job ${name} is idempotent, but there is no store to keep that in: ` +
          `add middleware: [idempotent(redisStore(…))] from 'warren/idempotency' to the options or to warren.config`,
      );
  }
}
