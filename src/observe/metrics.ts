/** Events → the numbers that /metrics tells. The names, labels and types are a promise: docs/observability.md. */
import { collectDefaultMetrics, Registry } from 'prom-client';
import { PublishError } from '../core/errors.ts';
import type { EventBus, EventName, Events } from '../core/events.ts';
import { addGauges, type GaugeSources } from './gauges.ts';
import { type JobSeries, type Known, Numbers } from './numbers.ts';

export interface MetricsOptions extends Known {
  /** Where the metrics are put, default a registry of their own. */
  registry?: Registry | undefined;
  /** Of warren. */
  version: string;
  /** Where the gauges come from. Left out: they say 0, or nothing where only the broker knows. */
  sources?: GaugeSources | undefined;
}

export interface Metrics {
  readonly registry: Registry;
  readonly contentType: string;
  /** All metrics in Prometheus' text format. */
  text(): Promise<string>;
  /** Counts what happens on this bus; returns the function that ends it. */
  subscribe(bus: EventBus): () => void;
  /** Stops what goes on by itself; the numbers stay. */
  end(): void;
}

export function createMetrics(options: MetricsOptions): Metrics {
  const registry = options.registry ?? new Registry();
  const numbers = new Numbers(registry, options);
  const end = addGauges(registry, options);
  // A registry that the user brings may have the process metrics already.
  if (!registry.getSingleMetric('process_cpu_user_seconds_total'))
    collectDefaultMetrics({ register: registry });
  return {
    registry,
    contentType: registry.contentType,
    text: () => registry.metrics(),
    subscribe: (bus) => subscribe(bus, numbers),
    end,
  };
}

/** What an event counts as. Those left out count as nothing. */
type Counting = { readonly [E in EventName]?: (numbers: Numbers, event: Events[E]) => void };

const COUNTING: Counting = {
  'job.enqueued': (numbers, { job, queue, durationMs }) => {
    numbers.job(job, queue).enqueued.increment();
    numbers.queue(queue).publishDuration.observe(durationMs / 1000);
  },
  'publish.failed': (numbers, { queue, reason }) => numbers.publishFailed(queue, reason),
  'settlement.failed': (numbers, { queue, error }) =>
    numbers.publishFailed(queue, error instanceof PublishError ? error.reason : undefined),
  'attempt.started': (numbers, { job, queue, waitMs }) => numbers.job(job, queue).wait.observe(waitMs / 1000),
  'attempt.succeeded': ended('succeeded'),
  'attempt.failed': ended('failed'),
  'attempt.timed-out': ended('timed_out'),
  'attempt.released': (numbers, { job, queue }) => numbers.job(job, queue).attempts.released.increment(),
  'job.retried': (numbers, { job, queue }) => numbers.job(job, queue).retries.increment(),
  'job.succeeded': (numbers, { id, job, queue }) => {
    numbers.job(job, queue).finished.succeeded.increment();
    numbers.succeeded(id, Date.now());
  },
  'schedule.ticked': (numbers, { schedule, madeUp }) =>
    numbers.ticked(schedule, madeUp ? 'made_up' : 'on_time'),
  'schedule.skipped': (numbers, { schedule, count }) => numbers.ticked(schedule, 'skipped', count),
  'job.dead': (numbers, { job, queue }) => numbers.job(job, queue).finished.dead.increment(),
  'job.discarded': (numbers, { job, queue }) => numbers.job(job, queue).finished.discarded.increment(),
  'job.crashed': (numbers, { job, queue }) => numbers.job(job, queue).crashes.increment(),
  'delivery.redelivered': (numbers, { queue }) => numbers.queue(queue).redeliveries.increment(),
  'settlement.stale': (numbers, { queue }) => numbers.queue(queue).stale.increment(),
  'connection.opened': (numbers, { role }) => numbers.connected(role),
};

function ended(outcome: keyof JobSeries['durations']) {
  return (
    numbers: Numbers,
    { job, queue, durationMs }: { job: string; queue: string; durationMs: number },
  ) => {
    const series = numbers.job(job, queue);
    series.attempts[outcome].increment();
    series.durations[outcome].observe(durationMs / 1000);
  };
}

function subscribe(bus: EventBus, numbers: Numbers): () => void {
  const ends = (Object.keys(COUNTING) as EventName[]).map((name) => countEvents(bus, numbers, name));
  return () => {
    for (const end of ends) end();
  };
}

function countEvents<E extends EventName>(bus: EventBus, numbers: Numbers, name: E): () => void {
  const count = COUNTING[name];
  return bus.on(name, (event) => count?.(numbers, event));
}
