/** What happens in warren, as typed events. Logging, metrics and error trackers subscribe; nothing else logs. */
import type { JobCrashedError } from './errors.ts';
import type { DeadReason } from './outcome.ts';

/**
 * Which run of which job an event is about. `job` is `'unknown'` where no class of that name is registered.
 * What is emitted for every job is written as a literal: on Node 20 `{ ...info, durationMs }` takes 1.3 µs,
 * and 1.3 µs more for each further property; a literal takes 0.03 µs.
 */
export interface AttemptInfo {
  id: string;
  job: string;
  queue: string;
  attempt: number;
}

export interface Events {
  /** `dueAt`: when it is to run, ms since 1970; undefined: now. */
  'job.enqueued': {
    id: string;
    job: string;
    queue: string;
    durationMs: number;
    dueAt?: number | undefined;
  };
  'publish.failed': { id: string; job: string; queue: string; reason: string; error: Error };
  /** Handed to `perform`. `waitMs`: since it could first have run; deliberate delays are left out. */
  'attempt.started': AttemptInfo & { waitMs: number; redelivered: boolean };
  'attempt.succeeded': AttemptInfo & { durationMs: number };
  /** `perform` threw. For error trackers: `error` is what was thrown. */
  'attempt.failed': AttemptInfo & { durationMs: number; error: unknown; willRetry: boolean };
  'attempt.timed-out': AttemptInfo & { durationMs: number; error: unknown; willRetry: boolean };
  /** Given back unfinished or unstarted by a drain; costs no attempt. */
  'attempt.released': AttemptInfo & { durationMs: number };
  /** The copy for its next attempt (after a crash: for the same) is confirmed in `delay`. */
  'job.retried': AttemptInfo & { waitMs: number; delay: string };
  'job.snoozed': AttemptInfo & { waitMs: number; delay: string };
  /** Settled. `durationMs` is that of its last attempt, so that one object can serve both events. */
  'job.succeeded': AttemptInfo & { durationMs?: number | undefined };
  /** Parked in the dead queue: copy confirmed. */
  'job.dead': AttemptInfo & { reason: DeadReason; error: { name: string; message: string } };
  /** It took down the child that ran it, for the `crashes`-th time. Told at once, before it is settled. */
  'job.crashed': AttemptInfo & {
    crashes: number;
    durationMs: number;
    error: JobCrashedError;
    willRetry: boolean;
  };
  /** What the job says of how far it is. */
  'job.progress': AttemptInfo & { value: unknown };
  /** It comes back for at least the `deliveries`-th time, or has crashed before: it runs alone in a child. */
  'job.suspected': AttemptInfo & { deliveries: number; crashes: number };
  /** Suspects run in this process, since there is no `workers` folder for children to import their class from. Told once. */
  'probation.impossible': { id: string; job: string; queue: string };
  /** A child for isolated jobs ended by itself while it ran none, or did not come up (`error`). */
  'child.failed': {
    kind: 'process' | 'thread';
    exitCode: number | null;
    signal: string | null;
    error?: Error | undefined;
  };
  /** An operator removed it. */
  'job.discarded': AttemptInfo;
  /** It comes a second time, e.g. after a lost connection. */
  'delivery.redelivered': { queue: string; id: string };
  /** The broker waited `afterMs` for an ack and took back what this queue's consumer held; the jobs `ids` were aborted. */
  'ack.timed-out': { queue: string; afterMs: number; ids: string[] };
  /** At the start: this job's timeout is longer than the broker waits for its ack. */
  'ack.may-time-out': { job: string; queue: string; timeoutMs: number; ackTimeoutMs: number };
  /** A settlement came too late, its channel was gone; the broker hands the message out again. */
  'settlement.stale': { queue: string };
  /** A retry or dead copy could not be published; the original stays unacked and it is tried again. */
  'settlement.failed': AttemptInfo & { error: Error };
  /** A rejection nobody handled, in the code of a job (`id` known) or elsewhere. */
  'rejection.unhandled': { error: unknown; id?: string | undefined; job?: string | undefined };
  'connection.opened': { role: string; url: string };
  'connection.lost': { role: string; url: string; reason: string };
  'connection.failed': { role: string; url: string; reason: string };
  'broker.blocked': { reason: string };
  'broker.unblocked': Record<string, never>;
  'consumer.attached': { queue: string; concurrency: number };
  'consumer.detached': { queue: string; reason: string };
  /** This process leads the schedules from now on. */
  'schedules.leading': { term: number; schedules: string[] };
  'schedules.left': { reason: string };
  /** Something kept it from leading; it tries again, or another process does. */
  'schedules.failed': { error: Error };
  /** The job of a tick went to its queue. `madeUp`: it had been missed. */
  'schedule.ticked': {
    schedule: string;
    id: string;
    job: string;
    queue: string;
    tick: number;
    lateMs: number;
    madeUp: boolean;
  };
  /** Nobody led at the time of these ticks, and they are not made up for. `to`: all up to this moment are dealt with. */
  'schedule.skipped': { schedule: string; count: number; to: number };
  /** So many jobs that fell due while their queue was gone went from `unrouted` back to it. */
  'jobs.rerouted': { queue: string; count: number };
  /** Jobs in `unrouted` could not be sent on to queues that run here; it is tried again. Told once for each cause. */
  'reroute.failed': { error: Error };
  /** This process may not read `unrouted`, so it leaves to others what lies there. Told once. */
  'reroute.forbidden': { reason: string };
  'topology.applied': { created: string[] };
  /** With `declare: 'verify'`: it is there, but this user may not see how it was made. */
  'topology.unverified': { uncompared: string[] };
  /** The broker went, or did not answer, while it was being declared; it is tried again. */
  'topology.failed': { error: Error };
  /** It is consumed here, and no job class names it: what it brings goes by the sender's choice. Or it is misspelt. */
  'queue.unnamed': { queue: string; named: string[] };
  'runtime.started': { queues: string[]; jobs: string[]; port?: number | undefined };
  'drain.started': { signal?: string | undefined; running: number; graceMs: number };
  'drain.finished': { released: number; unsent: number; durationMs: number };
  /** From here on of a supervisor (`warren work --processes`). It is about to start its workers. */
  'supervisor.started': { processes: number; port?: number | undefined };
  /** `worker`: which of them, from 1. `restarts`: how often it was started before. */
  'process.started': { worker: number; pid: number; restarts: number };
  /** It ended and nobody had asked for it. `lastWords`: what it wrote last to stderr. */
  'process.died': ProcessEnd & { uptimeMs: number; restarts: number; lastWords: string[] };
  /** Its event loop did not turn for so long; it is killed. */
  'process.stalled': { worker: number; pid: number; silentMs: number };
  /** It did not end within the grace period; it is killed. */
  'process.overran': { worker: number; pid: number; graceMs: number };
  'supervisor.stopping': { signal?: string | undefined; processes: number; graceMs: number };
  /** Workers die as soon as they are started, and another start would not mend it. */
  'supervisor.gave-up': { code: number; worker: number };
  'supervisor.stopped': { code: number; durationMs: number };
}

/** How a process ended: one of `code` and `signal` is null; both are when it could not be started. */
export interface ProcessEnd {
  worker: number;
  pid: number;
  code: number | null;
  signal: string | null;
}

export type EventName = keyof Events;
export type Listener<E extends EventName> = (event: Events[E]) => void;
export type AnyListener = <E extends EventName>(name: E, event: Events[E]) => void;

/** A place to subscribe to events. A listener that throws harms nobody: its error is dropped. */
export class EventBus {
  readonly #listeners = new Map<EventName, Set<Listener<never>>>();
  readonly #any = new Set<AnyListener>();

  /** Returns the function that ends the subscription. */
  on<E extends EventName>(name: E, listener: Listener<E>): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener as Listener<never>));
    return () => void listeners.delete(listener as Listener<never>);
  }

  onAny(listener: AnyListener): () => void {
    this.#any.add(listener);
    return () => void this.#any.delete(listener);
  }

  emit<E extends EventName>(name: E, event: Events[E]): void {
    const listeners = this.#listeners.get(name) as Set<Listener<E>> | undefined;
    if (listeners) for (const listener of listeners) quietly(() => listener(event));
    for (const listener of this.#any) quietly(() => listener(name, event));
  }
}

function quietly(call: () => void): void {
  try {
    const result: unknown = call();
    if (result instanceof Promise) result.catch(() => {});
  } catch {
    // A subscriber's fault is not the job's.
  }
}
