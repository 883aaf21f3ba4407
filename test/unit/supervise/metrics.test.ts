import { describe, expect, it } from '@jest/globals';
import { EventBus } from '../../../src/core/events.ts';
import type { BrokerSnapshot } from '../../../src/inspect.ts';
import { createMetrics } from '../../../src/observe/metrics.ts';
import type { MetricData } from '../../../src/supervise/messages.ts';
import { SupervisedMetrics } from '../../../src/supervise/metrics.ts';
import { Supervisor } from '../../../src/supervise/supervisor.ts';
import { until } from '../../support/until.ts';
import { FakeProcess } from './fake.ts';

interface Told {
  jobs: number;
  running: number;
  oldest: number;
  ready: number;
  connected: boolean;
}

/** What a worker process answers, made by the code that makes it there. */
async function numbersOf({ jobs, running, oldest, ready, connected }: Told): Promise<MetricData[]> {
  const snapshot: BrokerSnapshot = {
    queues: { mail: { ready, dead: 1, consumers: 2 } },
    ...{ delayed: { '3s': 4 }, unrouted: 0, notes: [] },
  };
  const state = { queue: 'mail', running, concurrency: 10, attached: true, oldestRunningSeconds: oldest };
  const metrics = createMetrics({
    ...{ jobs: [{ name: 'Send', queue: 'mail' }], queues: ['mail'], version: '1.2.3' },
    sources: { queues: () => [state], connected: () => connected, snapshot: async () => snapshot },
  });
  const bus = new EventBus();
  metrics.subscribe(bus);
  const about = { id: 'x', job: 'Send', queue: 'mail', attempt: 1 };
  for (let n = 0; n < jobs; n += 1) {
    bus.emit('attempt.succeeded', { ...about, durationMs: 20 });
    bus.emit('job.succeeded', about);
  }
  return (await metrics.registry.getMetricsAsJSON()) as unknown as MetricData[];
}

const A = { jobs: 2, running: 3, oldest: 5, ready: 7, connected: true };
const B = { jobs: 5, running: 4, oldest: 60, ready: 8, connected: false };

async function setUp() {
  const bus = new EventBus();
  const forked: FakeProcess[] = [];
  const fork = () => {
    const made = new FakeProcess();
    forked.push(made);
    return made.asChild;
  };
  const supervisor = new Supervisor({ processes: 2, fork, bus, graceMs: 1000, stallMs: 0, random: () => 0 });
  const metrics = new SupervisedMetrics(supervisor, bus);
  const running = supervisor.run();
  const [first, second] = forked as [FakeProcess, FakeProcess];
  first.answers = { metrics: await numbersOf(A) };
  second.answers = { metrics: await numbersOf(B) };
  for (const one of forked) one.begin();
  const end = async () => {
    supervisor.stop();
    for (const one of forked) one.end(0);
    await running;
  };
  const at = async (series: string) => {
    const line = (await metrics.text()).split('\n').find((one) => one.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  };
  return { forked, first, second, supervisor, metrics, at, end };
}

const DONE = 'warren_jobs_finished_total{job="Send",queue="mail",outcome="succeeded"}';

describe('the metrics of several processes', () => {
  it('are sums, maxima or minima, as each of them means', async () => {
    const { at, end, second } = await setUp();
    const series = {
      [DONE]: 7,
      'warren_attempts_total{job="Send",queue="mail",outcome="failed"}': 0,
      'warren_job_duration_seconds_count{job="Send",queue="mail",outcome="succeeded"}': 7,
      'warren_job_duration_seconds_bucket{job="Send",queue="mail",outcome="succeeded",le="0.01"}': 0,
      'warren_job_duration_seconds_bucket{job="Send",queue="mail",outcome="succeeded",le="0.05"}': 7,
      'warren_jobs_running{queue="mail"}': 7,
      'warren_concurrency{queue="mail"}': 20,
      'warren_consumers_attached{queue="mail"}': 2,
      'warren_oldest_running_job_seconds{queue="mail"}': 60,
      warren_broker_connected: 0,
      // Both looked at the same queue; the second was not connected and says nothing.
      'warren_queue_messages{queue="mail",state="ready"}': 7,
      'warren_queue_messages{queue="mail",state="dead"}': 1,
      'warren_queue_consumers{queue="mail"}': 2,
      'warren_delayed_messages{delay="3s"}': 4,
      warren_unrouted_messages: 0,
      'warren_build_info{version="1.2.3"}': 1,
      warren_process_restarts_total: 0,
    };
    const said = await Promise.all(Object.keys(series).map(async (one) => [one, await at(one)]));
    expect(Object.fromEntries(said)).toEqual(series);
    expect(await at('process_resident_memory_bytes')).toBeGreaterThan(process.memoryUsage().rss);
    expect(await at('warren_event_loop_lag_seconds')).toBeGreaterThanOrEqual(0);
    second.answers = { metrics: await numbersOf({ ...B, connected: true }) };
    expect(await at('warren_queue_messages{queue="mail",state="ready"}')).toBe(8);
    expect(await at('warren_queue_consumers{queue="mail"}')).toBe(2);
    expect(await at('warren_broker_connected')).toBe(1);
    await end();
  });

  it('never fall when a process is gone, or does not answer: what was counted was done', async () => {
    const { at, end, forked, first, second, supervisor } = await setUp();
    expect(await at(DONE)).toBe(7);
    second.end(1);
    await until(() => forked.length === 3, { what: 'the restart' });
    // Two scrapes at once bury it once.
    expect(await Promise.all([at(DONE), at(DONE)])).toEqual([7, 7]);
    expect(await at('warren_jobs_running{queue="mail"}')).toBe(3);
    expect(await at('warren_process_restarts_total')).toBe(1);
    // Its place is empty: nobody can say that all are connected.
    expect(await at('warren_broker_connected')).toBe(0);
    const third = forked[2] as FakeProcess;
    third.answers = { metrics: await numbersOf({ ...B, jobs: 10, connected: true }) };
    third.begin();
    expect(await at(DONE)).toBe(17);
    expect(await at('warren_broker_connected')).toBe(1);
    first.answers = {};
    expect(await at('warren_broker_connected')).toBe(0);
    expect(await at(DONE)).toBe(17);
    expect(await at('warren_jobs_running{queue="mail"}')).toBe(4);
    expect(supervisor.workers.map(({ record }) => record.restarts)).toEqual([0, 1]);
    await end();
  });
});
