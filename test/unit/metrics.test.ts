import { describe, expect, it } from '@jest/globals';
import { Registry } from 'prom-client';
import { JobCrashedError, UnroutableError } from '../../src/core/errors.ts';
import { type AttemptInfo, EventBus } from '../../src/core/events.ts';
import type { QueueState } from '../../src/health.ts';
import type { BrokerSnapshot } from '../../src/inspect.ts';
import { createMetrics, type MetricsOptions } from '../../src/observe/metrics.ts';
import { until } from '../support/until.ts';

/** The contract's list, word by word. */
const CONTRACT = `
counter warren_jobs_enqueued_total{job,queue}
counter warren_publish_failures_total{queue,reason}
counter warren_attempts_total{job,queue,outcome}
counter warren_jobs_finished_total{job,queue,outcome}
counter warren_retries_scheduled_total{job,queue}
counter warren_redeliveries_total{queue}
counter warren_crashes_total{job,queue}
counter warren_schedule_ticks_total{schedule,outcome}
gauge warren_schedule_last_success_timestamp_seconds
counter warren_stale_settlements_total{queue}
counter warren_reconnects_total
histogram warren_job_duration_seconds{job,queue,outcome}
histogram warren_job_wait_seconds{job,queue}
histogram warren_publish_duration_seconds{queue}
gauge warren_jobs_running{queue}
gauge warren_concurrency{queue}
gauge warren_oldest_running_job_seconds{queue}
gauge warren_jobs_overdue{queue}
gauge warren_broker_connected
gauge warren_consumers_attached{queue}
gauge warren_queue_messages{queue,state}
gauge warren_delayed_messages{delay}
gauge warren_unrouted_messages
gauge warren_queue_consumers{queue}
gauge warren_build_info{version}
gauge warren_event_loop_lag_seconds
`;

const JOBS = [
  { name: 'SendReceipt', queue: 'mail' },
  { name: 'Resize', queue: 'images' },
];

const SNAPSHOT: BrokerSnapshot = {
  queues: { mail: { ready: 7, dead: 2, consumers: 3 }, images: { ready: null, dead: null, consumers: null } },
  delayed: { '3s': 12, '30s': null },
  unrouted: 1,
  notes: [],
};

const MAIL: QueueState = {
  queue: 'mail',
  running: 4,
  concurrency: 20,
  attached: true,
  oldestRunningSeconds: 2.5,
};

function setUp(options: Partial<MetricsOptions> = {}) {
  const metrics = createMetrics({ jobs: JOBS, queues: ['mail'], version: '1.2.3', ...options });
  const bus = new EventBus();
  const end = metrics.subscribe(bus);
  return { metrics, bus, end };
}

function withSources(snapshot: BrokerSnapshot | undefined, connected = true) {
  const sources = { queues: () => [MAIL], connected: () => connected, snapshot: async () => snapshot };
  return setUp({ queues: ['mail', 'images'], schedules: ['nightly'], sources });
}

/** The value of one line, e.g. `warren_jobs_running{queue="mail"}`; undefined where there is none. */
async function numberAt(registry: Registry, series: string): Promise<number | undefined> {
  const line = (await registry.metrics()).split('\n').find((one) => one.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

const about = (more: Partial<AttemptInfo> = {}): AttemptInfo => ({
  id: 'id-1',
  job: 'SendReceipt',
  queue: 'mail',
  attempt: 1,
  ...more,
});
const SEND = 'job="SendReceipt",queue="mail"';

describe('metrics', () => {
  it('has the names, labels and types of the contract, and no others of its own', async () => {
    const { registry } = withSources(SNAPSHOT).metrics;
    const said = (await registry.getMetricsAsJSON()).map(({ name, type, values }) => {
      const labels = Object.keys(values[0]?.labels ?? {}).filter((label) => label !== 'le');
      return `${type} ${name}${labels.length > 0 ? `{${labels}}` : ''}`;
    });
    const ours = said.filter((one) => one.includes('warren_'));
    expect(ours.sort()).toEqual(CONTRACT.trim().split('\n').sort());
  });

  it('has the process metrics of prom-client, also in a registry that has them already', async () => {
    const registry = setUp().metrics.registry;
    expect(registry.getSingleMetric('process_resident_memory_bytes')).toBeDefined();
    expect(registry.getSingleMetric('nodejs_eventloop_lag_seconds')).toBeDefined();
    const theirs = new Registry();
    const { collectDefaultMetrics } = await import('prom-client');
    collectDefaultMetrics({ register: theirs });
    expect(setUp({ registry: theirs }).metrics.registry).toBe(theirs);
  });

  it.each([
    `warren_jobs_enqueued_total{${SEND}}`,
    'warren_publish_failures_total{queue="images",reason="unroutable"}',
    'warren_publish_failures_total{queue="mail",reason="too-large"}',
    ...['succeeded', 'failed', 'timed_out', 'released'].map(
      (outcome) => `warren_attempts_total{${SEND},outcome="${outcome}"}`,
    ),
    ...['succeeded', 'dead', 'discarded'].map(
      (outcome) => `warren_jobs_finished_total{${SEND},outcome="${outcome}"}`,
    ),
    `warren_retries_scheduled_total{${SEND}}`,
    'warren_redeliveries_total{queue="mail"}',
    `warren_crashes_total{${SEND}}`,
    'warren_stale_settlements_total{queue="mail"}',
    'warren_reconnects_total',
    `warren_job_duration_seconds_count{${SEND},outcome="timed_out"}`,
    `warren_job_wait_seconds_bucket{${SEND},le="+Inf"}`,
    'warren_publish_duration_seconds_sum{queue="mail"}',
    'warren_jobs_running{queue="mail"}',
    'warren_oldest_running_job_seconds{queue="mail"}',
    'warren_consumers_attached{queue="mail"}',
    'warren_broker_connected',
  ])('is 0 before anything happened: %s', async (series) => {
    expect(await numberAt(setUp().metrics.registry, series)).toBe(0);
  });

  it('counts a job from its enqueueing to its success', async () => {
    const { bus, metrics } = setUp();
    bus.emit('job.enqueued', { id: 'id-1', job: 'SendReceipt', queue: 'mail', durationMs: 2 });
    bus.emit('attempt.started', { ...about(), waitMs: 40, redelivered: false });
    bus.emit('attempt.succeeded', { ...about(), durationMs: 250 });
    bus.emit('job.succeeded', about());
    const read = (series: string) => numberAt(metrics.registry, series);
    expect(await read(`warren_jobs_enqueued_total{${SEND}}`)).toBe(1);
    expect(await read('warren_publish_duration_seconds_bucket{queue="mail",le="0.001"}')).toBe(0);
    expect(await read('warren_publish_duration_seconds_bucket{queue="mail",le="0.0025"}')).toBe(1);
    expect(await read(`warren_job_wait_seconds_sum{${SEND}}`)).toBe(0.04);
    expect(await read(`warren_attempts_total{${SEND},outcome="succeeded"}`)).toBe(1);
    expect(await read(`warren_job_duration_seconds_bucket{${SEND},outcome="succeeded",le="0.1"}`)).toBe(0);
    expect(await read(`warren_job_duration_seconds_bucket{${SEND},outcome="succeeded",le="0.5"}`)).toBe(1);
    expect(await read(`warren_job_duration_seconds_bucket{${SEND},outcome="succeeded",le="+Inf"}`)).toBe(1);
    expect(await read(`warren_job_duration_seconds_sum{${SEND},outcome="succeeded"}`)).toBe(0.25);
    expect(await read(`warren_jobs_finished_total{${SEND},outcome="succeeded"}`)).toBe(1);
  });

  it('counts every other way it can go', async () => {
    const { bus, metrics } = setUp();
    const error = new Error('no');
    const crash = new JobCrashedError('gone', { exitCode: 1, signal: null, stderr: '' });
    bus.emit('attempt.failed', { ...about(), durationMs: 1, error, willRetry: true });
    bus.emit('job.retried', { ...about(), waitMs: 3000, delay: 'delayed-3s' });
    bus.emit('attempt.timed-out', { ...about(), durationMs: 30_000, error, willRetry: false });
    bus.emit('attempt.released', { ...about(), durationMs: 0 });
    bus.emit('job.dead', { ...about(), reason: 'attempts-exhausted', error });
    bus.emit('job.discarded', about());
    bus.emit('job.crashed', { ...about(), durationMs: 1, crashes: 1, error: crash, willRetry: true });
    bus.emit('delivery.redelivered', { queue: 'mail', id: 'id-1' });
    bus.emit('settlement.stale', { queue: 'mail' });
    bus.emit('publish.failed', { id: 'x', job: 'SendReceipt', queue: 'mail', reason: 'deadline', error });
    bus.emit('settlement.failed', { ...about(), error: new UnroutableError('gone') });
    const series = [
      `warren_attempts_total{${SEND},outcome="failed"}`,
      `warren_retries_scheduled_total{${SEND}}`,
      `warren_attempts_total{${SEND},outcome="timed_out"}`,
      `warren_job_duration_seconds_count{${SEND},outcome="timed_out"}`,
      `warren_attempts_total{${SEND},outcome="released"}`,
      `warren_jobs_finished_total{${SEND},outcome="dead"}`,
      `warren_jobs_finished_total{${SEND},outcome="discarded"}`,
      `warren_crashes_total{${SEND}}`,
      'warren_redeliveries_total{queue="mail"}',
      'warren_stale_settlements_total{queue="mail"}',
      'warren_publish_failures_total{queue="mail",reason="deadline"}',
      'warren_publish_failures_total{queue="mail",reason="unroutable"}',
    ];
    const values = await Promise.all(series.map((one) => numberAt(metrics.registry, one)));
    expect(Object.fromEntries(series.map((one, index) => [one, values[index]]))).toEqual(
      Object.fromEntries(series.map((one) => [one, 1])),
    );
  });

  it('counts a connection that opens again, each of the two for itself', async () => {
    const { bus, metrics } = setUp();
    for (const role of ['consuming', 'publishing', 'consuming'])
      bus.emit('connection.opened', { role, url: '' });
    expect(await numberAt(metrics.registry, 'warren_reconnects_total')).toBe(1);
  });

  it('calls unknown whatever is not registered, so that forged names make no series', async () => {
    const { bus, metrics } = setUp();
    for (const job of ['Forged1', 'Forged2', '__proto__'])
      bus.emit('job.dead', {
        ...about({ job, queue: `queue of ${job}` }),
        reason: 'unknown-job',
        error: { name: 'Error', message: '' },
      });
    bus.emit('settlement.stale', { queue: 'constructor' });
    bus.emit('publish.failed', {
      id: 'x',
      job: 'x',
      queue: 'mail',
      reason: 'a new one',
      error: new Error('x'),
    });
    const read = (series: string) => numberAt(metrics.registry, series);
    expect(await read('warren_jobs_finished_total{job="unknown",queue="unknown",outcome="dead"}')).toBe(3);
    expect(await read('warren_stale_settlements_total{queue="unknown"}')).toBe(1);
    expect(await read('warren_publish_failures_total{queue="mail",reason="unknown"}')).toBe(1);
    expect(await metrics.text()).not.toContain('Forged');
  });

  it('gives a registered job in another registered queue a series of its own', async () => {
    const { bus, metrics } = setUp();
    bus.emit('job.succeeded', about({ queue: 'images' }));
    const series = 'warren_jobs_finished_total{job="SendReceipt",queue="images",outcome="succeeded"}';
    expect(await numberAt(metrics.registry, series)).toBe(1);
  });

  it('keeps its sums when an event carries what is no duration', async () => {
    const { bus, metrics } = setUp();
    for (const waitMs of [Number.NaN, -5, Number.POSITIVE_INFINITY, 1000])
      bus.emit('attempt.started', { ...about(), waitMs, redelivered: false });
    expect(await numberAt(metrics.registry, `warren_job_wait_seconds_sum{${SEND}}`)).toBe(1);
    expect(await numberAt(metrics.registry, `warren_job_wait_seconds_count{${SEND}}`)).toBe(4);
  });

  it('counts nothing more once it is unsubscribed', async () => {
    const { bus, metrics, end } = setUp();
    end();
    bus.emit('job.succeeded', about());
    const series = `warren_jobs_finished_total{${SEND},outcome="succeeded"}`;
    expect(await numberAt(metrics.registry, series)).toBe(0);
  });

  it('tells what runs here and what stands on the broker', async () => {
    const { registry } = withSources(SNAPSHOT).metrics;
    const read = (series: string) => numberAt(registry, series);
    expect(await read('warren_jobs_running{queue="mail"}')).toBe(4);
    expect(await read('warren_jobs_running{queue="images"}')).toBe(0);
    expect(await read('warren_concurrency{queue="mail"}')).toBe(20);
    expect(await read('warren_oldest_running_job_seconds{queue="mail"}')).toBe(2.5);
    expect(await read('warren_consumers_attached{queue="mail"}')).toBe(1);
    expect(await read('warren_broker_connected')).toBe(1);
    expect(await read('warren_queue_messages{queue="mail",state="ready"}')).toBe(7);
    expect(await read('warren_queue_messages{queue="mail",state="dead"}')).toBe(2);
    expect(await read('warren_queue_consumers{queue="mail"}')).toBe(3);
    expect(await read('warren_delayed_messages{delay="3s"}')).toBe(12);
    expect(await read('warren_unrouted_messages')).toBe(1);
    expect(await read('warren_build_info{version="1.2.3"}')).toBe(1);
  });

  it('leaves out what the broker does not tell, rather than saying 0', async () => {
    const known = await withSources(SNAPSHOT).metrics.text();
    expect(known).not.toContain('warren_queue_messages{queue="images"');
    expect(known).not.toContain('delay="30s"');
    const away = withSources(undefined, false).metrics;
    expect(await numberAt(away.registry, 'warren_broker_connected')).toBe(0);
    expect(await numberAt(away.registry, 'warren_unrouted_messages')).toBeUndefined();
    expect(await away.text()).not.toContain('warren_queue_messages{');
  });

  it('tells how long the event loop did not turn since the last scrape', async () => {
    const { registry } = setUp().metrics;
    const lag = () => numberAt(registry, 'warren_event_loop_lag_seconds');
    const seen = await until(
      async () => {
        const end = performance.now() + 300;
        while (performance.now() < end);
        // Two turns: the monitor notes the gap when its next look is due.
        await new Promise((turned) => setTimeout(turned, 30));
        const now = (await lag()) ?? 0;
        return now > 0.2 ? now : undefined;
      },
      { what: 'the lag to be seen' },
    );
    expect(await lag()).toBeLessThan(seen);
  });

  it('starts at 0 again where its registry is reset', async () => {
    const { bus, metrics } = setUp();
    bus.emit('attempt.succeeded', { ...about(), durationMs: 250 });
    metrics.registry.resetMetrics();
    expect(await numberAt(metrics.registry, `warren_attempts_total{${SEND},outcome="succeeded"}`)).toBe(0);
    const sum = `warren_job_duration_seconds_sum{${SEND},outcome="succeeded"}`;
    expect(await numberAt(metrics.registry, sum)).toBe(0);
  });
});
