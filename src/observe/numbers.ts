/** Every counter and histogram there is, each series at 0 from the start, found by one look-up an event. */
import { Gauge, type Registry } from 'prom-client';
import { scheduleOfId } from '../core/schedule.ts';
import { type CountSeries, type HistogramSeries, SeriesCounter, SeriesHistogram } from './series.ts';

/** What a job or queue is called that is not registered here. */
const UNKNOWN = 'unknown';

const ATTEMPT_OUTCOMES = ['succeeded', 'failed', 'timed_out', 'released'] as const;
/** How long a released attempt ran says nothing about its job, so no duration is kept of it. */
const TIMED_OUTCOMES = ['succeeded', 'failed', 'timed_out'] as const;
const ENDS = ['succeeded', 'dead', 'discarded'] as const;
/** `made_up`: had been missed, and ran all the same; `skipped`: missed for good. */
const TICK_OUTCOMES = ['on_time', 'made_up', 'skipped'] as const;
/** `reason` of each PublishError. */
const PUBLISH_REASONS = [
  'unroutable',
  'blocked',
  'deadline',
  'refused',
  'closed',
  'invalid',
  'too-large',
  UNKNOWN,
] as const;

/** In seconds. Few, because each is a line per job class and outcome at each scrape. */
export const BUCKETS = {
  duration: [0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800],
  wait: [0.005, 0.025, 0.1, 0.5, 1, 5, 30, 60, 300, 1800, 3600, 21600],
  publish: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30],
} as const;

type PerOutcome<Outcomes extends readonly string[], T> = Record<Outcomes[number], T>;

/** All series of one job class in one queue. */
export interface JobSeries {
  enqueued: CountSeries;
  attempts: PerOutcome<typeof ATTEMPT_OUTCOMES, CountSeries>;
  finished: PerOutcome<typeof ENDS, CountSeries>;
  retries: CountSeries;
  crashes: CountSeries;
  durations: PerOutcome<typeof TIMED_OUTCOMES, HistogramSeries>;
  wait: HistogramSeries;
}

interface QueueSeries {
  publishFailures: PerOutcome<typeof PUBLISH_REASONS, CountSeries>;
  redeliveries: CountSeries;
  stale: CountSeries;
  publishDuration: HistogramSeries;
}

/** What is registered: only these names become labels. */
export interface Known {
  jobs: readonly { name: string; queue: string }[];
  queues: readonly string[];
  /** Names of schedules. */
  schedules?: readonly string[] | undefined;
}

export class Numbers {
  readonly #metrics: Instruments;
  readonly #reconnects: CountSeries;
  readonly #roles = new Set<string>();
  readonly #knownJobs: ReadonlySet<string>;
  readonly #knownQueues: ReadonlySet<string>;
  readonly #jobs = new Map<string, Map<string, JobSeries>>();
  readonly #queues = new Map<string, QueueSeries>();
  readonly #ticks: ReadonlyMap<string, PerOutcome<typeof TICK_OUTCOMES, CountSeries>>;
  readonly #lastSuccess: Gauge<'schedule'>;

  constructor(registry: Registry, { jobs, queues, schedules = [] }: Known) {
    this.#metrics = metricsIn(registry);
    this.#reconnects = this.#metrics.reconnects.series({});
    this.#knownJobs = new Set(jobs.map(({ name }) => name));
    this.#knownQueues = new Set([...queues, ...jobs.map(({ queue }) => queue)]);
    for (const { name, queue } of jobs) this.job(name, queue);
    // What a queue brings for classes that are not here is parked, and counted from 0 as well.
    for (const queue of queues) this.job(UNKNOWN, queue);
    for (const queue of this.#knownQueues) this.queue(queue);
    this.#ticks = new Map(schedules.map((schedule) => [schedule, tickSeries(this.#metrics, schedule)]));
    this.#lastSuccess = lastSuccessIn(registry);
  }

  ticked(schedule: string, outcome: (typeof TICK_OUTCOMES)[number], count = 1): void {
    const series = this.#ticks.get(schedule)?.[outcome];
    if (series) series.count += count;
  }

  /** `id` tells of which schedule it was, if of one. */
  succeeded(id: string, now: number): void {
    const schedule = id.startsWith('cron:') ? scheduleOfId(id) : undefined;
    if (schedule !== undefined && this.#ticks.has(schedule)) this.#lastSuccess.set({ schedule }, now / 1000);
  }

  /** The hot path is the first line. */
  job(job: string, queue: string): JobSeries {
    return this.#jobs.get(queue)?.get(job) ?? this.#jobByLabels(this.#jobLabel(job), this.#queueLabel(queue));
  }

  queue(queue: string): QueueSeries {
    return this.#queues.get(queue) ?? this.#queueByLabel(this.#queueLabel(queue));
  }

  publishFailed(queue: string, reason: string | undefined): void {
    const failures = this.queue(queue).publishFailures;
    failures[isPublishReason(reason) ? reason : UNKNOWN].increment();
  }

  /** The first connection of a role is none that was opened again. */
  connected(role: string): void {
    if (this.#roles.has(role)) this.#reconnects.increment();
    this.#roles.add(role);
  }

  #jobLabel(job: string): string {
    return this.#knownJobs.has(job) ? job : UNKNOWN;
  }

  #queueLabel(queue: string): string {
    return this.#knownQueues.has(queue) ? queue : UNKNOWN;
  }

  #jobByLabels(job: string, queue: string): JobSeries {
    const ofQueue = this.#jobs.get(queue) ?? new Map<string, JobSeries>();
    this.#jobs.set(queue, ofQueue);
    const series = ofQueue.get(job) ?? jobSeries(this.#metrics, { job, queue });
    ofQueue.set(job, series);
    return series;
  }

  #queueByLabel(queue: string): QueueSeries {
    const series = this.#queues.get(queue) ?? queueSeries(this.#metrics, { queue });
    this.#queues.set(queue, series);
    return series;
  }
}

function metricsIn(registry: Registry) {
  const counter = (name: string, help: string) => new SeriesCounter({ registry, name, help });
  const histogram = (name: string, help: string, buckets: readonly number[]) =>
    new SeriesHistogram({ registry, name, help, buckets });
  return {
    enqueued: counter('warren_jobs_enqueued_total', 'Jobs this process enqueued: confirmed and routed'),
    publishFailures: counter(
      'warren_publish_failures_total',
      'Jobs, and retry or dead copies of jobs, that could not be published',
    ),
    attempts: counter('warren_attempts_total', 'Runs of perform that ended, by outcome'),
    ticks: counter(
      'warren_schedule_ticks_total',
      'Ticks that this process dealt with as the leader, by outcome',
    ),
    finished: counter('warren_jobs_finished_total', 'Jobs that reached their end, by outcome'),
    retries: counter(
      'warren_retries_scheduled_total',
      'Failed jobs that wait on the broker for their next attempt',
    ),
    redeliveries: counter('warren_redeliveries_total', 'Deliveries that came a second time'),
    crashes: counter('warren_crashes_total', 'Times a process went down while it ran this job'),
    stale: counter('warren_stale_settlements_total', 'Settlements that came after their channel was gone'),
    reconnects: counter('warren_reconnects_total', 'Connections opened again after the first of their kind'),
    durations: histogram('warren_job_duration_seconds', 'How long perform ran, by outcome', BUCKETS.duration),
    waits: histogram(
      'warren_job_wait_seconds',
      'From when a job could first have run to its start; deliberate delays left out',
      BUCKETS.wait,
    ),
    publishDurations: histogram(
      'warren_publish_duration_seconds',
      'From enqueue to the confirm, retries included',
      BUCKETS.publish,
    ),
  };
}

/** No series before the first success: a 0 would be the year 1970. */
function lastSuccessIn(registry: Registry) {
  return new Gauge({
    name: 'warren_schedule_last_success_timestamp_seconds',
    help: 'When a run of this schedule last succeeded in this process, since 1970',
    labelNames: ['schedule'],
    aggregator: 'max',
    registers: [registry],
  });
}

function tickSeries(metrics: Instruments, schedule: string) {
  return each(TICK_OUTCOMES, (outcome) => metrics.ticks.series({ schedule, outcome }));
}

type Instruments = ReturnType<typeof metricsIn>;

function jobSeries(metrics: Instruments, labels: { job: string; queue: string }): JobSeries {
  return {
    enqueued: metrics.enqueued.series(labels),
    attempts: each(ATTEMPT_OUTCOMES, (outcome) => metrics.attempts.series({ ...labels, outcome })),
    finished: each(ENDS, (outcome) => metrics.finished.series({ ...labels, outcome })),
    retries: metrics.retries.series(labels),
    crashes: metrics.crashes.series(labels),
    durations: each(TIMED_OUTCOMES, (outcome) => metrics.durations.series({ ...labels, outcome })),
    wait: metrics.waits.series(labels),
  };
}

function queueSeries(metrics: Instruments, labels: { queue: string }): QueueSeries {
  return {
    publishFailures: each(PUBLISH_REASONS, (reason) => metrics.publishFailures.series({ ...labels, reason })),
    redeliveries: metrics.redeliveries.series(labels),
    stale: metrics.stale.series(labels),
    publishDuration: metrics.publishDurations.series(labels),
  };
}

function each<const K extends readonly string[], T>(keys: K, make: (key: K[number]) => T): PerOutcome<K, T> {
  return Object.fromEntries(keys.map((key) => [key, make(key)])) as PerOutcome<K, T>;
}

function isPublishReason(reason: string | undefined): reason is (typeof PUBLISH_REASONS)[number] {
  return PUBLISH_REASONS.some((known) => known === reason);
}
