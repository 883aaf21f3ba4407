/** One run of `perform`: its context, its signal, and the one result it ends with. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Delivery } from '../broker/broker.ts';
import type { ErrorRecord } from '../core/error-record.ts';
import type { JobHeaders } from '../core/headers.ts';
import { type Middleware, once } from '../core/middleware.ts';
import { type RunResult, returned } from '../core/outcome.ts';
import type { Registration } from '../core/registry.ts';
import type { Enqueue, JobContext, JobLog } from '../job.ts';
import { OwnTimer } from './own-timer.ts';
import type { Run } from './run.ts';

/** Which attempt the code that now runs belongs to: tells whose an unhandled rejection is. */
const current = new AsyncLocalStorage<Attempt>();

export function currentAttempt(): Attempt | undefined {
  return current.getStore();
}

/** Which run of which job it is about. */
export type JobIdentity = Pick<JobContext, 'id' | 'job' | 'queue' | 'attempt'>;

/** What an attempt takes from its worker. */
export interface AttemptResources {
  /** `enqueue` for one attempt, whose trace goes along. */
  enqueueFor(attempt: Attempt): Enqueue;
  /** Called at most once an attempt, when the job first logs. */
  logFor(about: JobIdentity): JobLog;
  progressOf(about: JobIdentity, value: unknown): void;
  /** Attempts that ended at their timeout while their code goes on. */
  overran?: Set<Attempt>;
  /** Around `perform`, where there is any. */
  middleware?: Middleware | undefined;
}

/** The signal of a job whose worker stops has this as its reason. */
export class WorkerStoppingError extends Error {
  override readonly name = 'WorkerStoppingError';
  constructor() {
    super('the worker stops; the job runs again elsewhere, this attempt is not counted');
  }
}

export class JobTimeoutError extends Error {
  override readonly name = 'JobTimeoutError';
}

/**
 * The attempt is the context that `perform` gets. Signal and log are made when first asked for,
 * because most jobs ask for neither and an AbortController costs more than the rest together.
 */
export class Attempt implements JobContext, Run {
  readonly id: string;
  readonly queue: string;
  readonly registration: Registration;
  readonly headers: JobHeaders;
  /** Where this attempt will be settled: replaced when the broker hands the message out again. */
  delivery: Delivery;
  readonly startedAt = performance.now();
  readonly #beganAt: number;
  readonly #resources: AttemptResources;
  #controller: AbortController | undefined;
  #log: JobLog | undefined;
  #abortReason: Error | undefined;
  #end: ((attempt: Attempt, result: RunResult) => void) | undefined;
  #timer: OwnTimer | undefined;

  constructor(
    delivery: Delivery,
    about: { id: string; queue: string; registration: Registration; headers: JobHeaders; now: number },
    resources: AttemptResources,
  ) {
    this.delivery = delivery;
    this.id = about.id;
    this.queue = about.queue;
    this.registration = about.registration;
    this.headers = about.headers;
    this.#beganAt = about.now;
    this.#resources = resources;
  }

  get job(): string {
    return this.registration.name;
  }
  get attempt(): number {
    return this.headers.attempt;
  }
  get attempts(): number {
    return this.registration.policy.attempts;
  }
  get lastError(): ErrorRecord | undefined {
    return this.headers.error;
  }
  get enqueuedAt(): Date {
    return new Date(this.headers.enqueuedAt ?? this.#beganAt);
  }
  get redelivered(): boolean {
    return this.delivery.redelivered;
  }
  get enqueue(): Enqueue {
    return this.#resources.enqueueFor(this);
  }
  get log(): JobLog {
    this.#log ??= this.#resources.logFor(this);
    return this.#log;
  }
  get progress(): (value: unknown) => void {
    return (value) => this.#resources.progressOf(this, value);
  }
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#abortReason) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }
  get middleware(): Middleware | undefined {
    return this.#resources.middleware;
  }
  get durationMs(): number {
    return performance.now() - this.startedAt;
  }

  /**
   * Runs `perform` once. `onEnd` is called once, with the first thing that ends it: at once where `perform`
   * returns no promise. A callback, because each promise more costs where tens of thousands run a second.
   */
  start(payload: unknown, onEnd: (attempt: Attempt, result: RunResult) => void): void {
    this.#end = onEnd;
    this.#startTimeout();
    current.run(this, callPerform, this, payload);
  }

  /** As `start`; never rejects. */
  run(payload: unknown): Promise<RunResult> {
    return new Promise((resolve) => {
      this.start(payload, (_, result) => resolve(result));
    });
  }

  /** Ends the attempt, if it has not ended: what comes later from `perform` is not looked at. */
  end(result: RunResult): void {
    const end = this.#end;
    if (!end) {
      this.#resources.overran?.delete(this);
      return;
    }
    this.#end = undefined;
    this.#timer?.clear();
    const stopped = result.kind === 'threw' && this.#abortReason instanceof WorkerStoppingError;
    end(this, stopped ? { kind: 'released' } : result);
  }

  get ended(): boolean {
    return this.#end === undefined;
  }
  get begun(): boolean {
    return true;
  }

  /** Asks the job to stop, for this reason. */
  abort(reason: Error): void {
    this.#abortReason ??= reason;
    // In its own context, so that what its listeners throw is its own.
    current.run(this, () => this.#controller?.abort(reason));
  }

  #overran(): void {
    const { overran } = this.#resources;
    if (overran && overran.size < MOST_OVERRAN) overran.add(this);
  }

  #startTimeout(): void {
    const { timeoutMs, name } = this.registration;
    if (timeoutMs === undefined) return;
    this.#timer = new OwnTimer(timeoutMs, () => {
      const error = new JobTimeoutError(`${name} ran longer than its timeout of ${timeoutMs} ms`);
      this.#overran();
      this.end({ kind: 'timed-out', error });
      this.abort(error);
    });
  }
}

/** Told of by the watchdog; each keeps its message, and one whose code never ends keeps it for ever. */
const MOST_OVERRAN = 1_000;

/** Without a closure a job: the hot path. */
function callPerform(attempt: Attempt, payload: unknown): void {
  let value: unknown;
  try {
    value = attempt.middleware ? callThrough(attempt, payload) : perform(attempt, payload);
    // Looking for `then` runs the job's code, too.
    if (isThenable(value)) {
      value.then(
        (result) => attempt.end(returned(result)),
        (error) => attempt.end({ kind: 'threw', error }),
      );
      return;
    }
  } catch (error) {
    attempt.end({ kind: 'threw', error });
    return;
  }
  attempt.end(returned(value));
}

function perform(attempt: Attempt, payload: unknown): unknown {
  return new attempt.registration.job().perform(payload, attempt);
}

function callThrough(attempt: Attempt, payload: unknown): unknown {
  const { job } = attempt.registration;
  const abort = (reason: Error) => attempt.abort(reason);
  return attempt.middleware?.(
    { job, payload, context: attempt, abort },
    once(() => perform(attempt, payload)),
  );
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === 'function';
}
