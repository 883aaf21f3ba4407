/** Gauges are not kept up to date: they are asked for at each scrape. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { type Aggregator, Gauge, type Registry } from 'prom-client';
import type { QueueState } from '../health.ts';
import type { BrokerSnapshot } from '../inspect.ts';

export interface GaugeSources {
  /** What each queue does in this process. */
  queues(): readonly QueueState[];
  connected(): boolean;
  /**
   * Must answer within a second or two, and not ask the broker at every scrape: see `cached`.
   * Undefined: not known. Not asked while the broker is not connected.
   */
  snapshot(): Promise<BrokerSnapshot | undefined>;
}

export interface GaugeOptions {
  queues: readonly string[];
  version: string;
  sources?: GaugeSources | undefined;
}

const NO_SOURCES: GaugeSources = {
  queues: () => [],
  connected: () => false,
  snapshot: async () => undefined,
};

/** Returns what ends the looking at the event loop. */
export function addGauges(
  registry: Registry,
  { queues, version, sources = NO_SOURCES }: GaugeOptions,
): () => void {
  addProcessGauges(registry, queues, sources);
  addBrokerGauges(registry, sources);
  new Gauge({
    ...named(registry, 'warren_broker_connected', '1 while every connection to the broker is open'),
    aggregator: 'min',
    collect() {
      this.set(sources.connected() ? 1 : 0);
    },
  });
  new Gauge({
    ...named(registry, 'warren_build_info', 'Always 1; the label says which warren this is'),
    labelNames: ['version'],
    aggregator: 'first',
  })
    .labels(version)
    .set(1);
  return addLagGauge(registry);
}

/** What this process knows by itself. */
function addProcessGauges(registry: Registry, queues: readonly string[], sources: GaugeSources): void {
  const perQueue = (
    name: string,
    help: string,
    value: (state: QueueState) => number,
    aggregator: Aggregator = 'sum',
  ) =>
    new Gauge({
      ...named(registry, name, help),
      labelNames: ['queue'],
      aggregator,
      collect() {
        for (const queue of queues) this.set({ queue }, 0);
        for (const state of sources.queues()) this.set({ queue: state.queue }, value(state));
      },
    });
  perQueue('warren_jobs_running', 'Jobs that run now in this process', ({ running }) => running);
  perQueue(
    'warren_concurrency',
    'Jobs that may run at once in this process',
    ({ concurrency }) => concurrency,
  );
  perQueue(
    'warren_oldest_running_job_seconds',
    'How long the oldest running job of this process goes on; 0: none runs',
    ({ oldestRunningSeconds }) => oldestRunningSeconds,
    'max',
  );
  perQueue(
    'warren_jobs_overdue',
    'Jobs of this process that go on past their timeout, or past what the broker waits for an ack',
    ({ overdue = [] }) => overdue.length,
  );
  perQueue('warren_consumers_attached', '1 while this process consumes the queue', ({ attached }) =>
    attached ? 1 : 0,
  );
}

type Entry = [labels: Record<string, string>, value: number | null];

/** What only the broker knows: no series at all where it could not be asked. */
function addBrokerGauges(registry: Registry, sources: GaugeSources): void {
  const fromSnapshot = (
    name: string,
    help: string,
    labelNames: string[],
    entries: (snapshot: BrokerSnapshot) => Entry[],
  ) =>
    new Gauge({
      ...named(registry, name, help),
      labelNames,
      // Each process tells of the same queues, a moment apart.
      aggregator: 'max',
      async collect() {
        const snapshot = sources.connected() ? await sources.snapshot() : undefined;
        this.reset();
        // Without labels a reset leaves a 0 standing, which would be a claim.
        this.remove({});
        for (const [labels, value] of snapshot ? entries(snapshot) : [])
          if (value !== null) this.set(labels, value);
      },
    });
  const queuesOf = ({ queues }: BrokerSnapshot) => Object.entries(queues);
  fromSnapshot(
    'warren_queue_messages',
    'Messages in a work queue (ready: waiting for a consumer) and in its dead queue',
    ['queue', 'state'],
    (snapshot) =>
      queuesOf(snapshot).flatMap(([queue, { ready, dead }]): Entry[] => [
        [{ queue, state: 'ready' }, ready],
        [{ queue, state: 'dead' }, dead],
      ]),
  );
  fromSnapshot(
    'warren_queue_consumers',
    'Consumers of a work queue, in all processes',
    ['queue'],
    (snapshot) => queuesOf(snapshot).map(([queue, { consumers }]): Entry => [{ queue }, consumers]),
  );
  fromSnapshot(
    'warren_delayed_messages',
    'Messages that wait in a delay queue, for all work queues',
    ['delay'],
    (snapshot) => Object.entries(snapshot.delayed).map(([delay, waiting]): Entry => [{ delay }, waiting]),
  );
  fromSnapshot(
    'warren_unrouted_messages',
    'Messages that fell due for a queue that is gone',
    [],
    ({ unrouted }) => [[{}, unrouted]],
  );
}

/** How often the event loop is looked at, in ms: a wake-up each. */
const LAG_RESOLUTION_MS = 20;

function addLagGauge(registry: Registry): () => void {
  const delays = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
  delays.enable();
  new Gauge({
    ...named(
      registry,
      'warren_event_loop_lag_seconds',
      'The longest time since the last scrape in which the event loop did not turn',
    ),
    aggregator: 'max',
    collect() {
      // What it measures is from one look to the next; before the first it says the largest number there is, or 0.
      const lag = delays.count > 0 ? delays.max / 1e9 - LAG_RESOLUTION_MS / 1000 : 0;
      this.set(Math.max(0, lag));
      delays.reset();
    },
  });
  return () => void delays.disable();
}

function named(registry: Registry, name: string, help: string) {
  return { name, help, registers: [registry] };
}
