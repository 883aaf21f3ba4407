/** What a process shows of itself: log lines, metrics, HTTP. All of it subscribes or is asked; nothing here acts. */
import type { Logger } from 'pino';
import type { Names } from '../../topology/names.ts';
import type { Broker } from '../broker/broker.ts';
import type { RuntimeSettings } from '../config.ts';
import type { EventBus } from '../core/events.ts';
import type { Registry } from '../core/registry.ts';
import type { Schedule } from '../core/schedule.ts';
import type { Phase, QueueState } from '../health.ts';
import { type HealthSource, healthSource } from '../http/health.ts';
import { createHttpServer, type HttpServer } from '../http/server.ts';
import { inspectBroker } from '../inspect.ts';
import { VERSION } from '../version.ts';
import { cached } from './cached.ts';
import { subscribeLogs } from './logs.ts';
import { createMetrics, type Metrics } from './metrics.ts';

export interface Observed {
  bus: EventBus;
  broker: Broker;
  names: Names;
  registry: Registry;
  settings: Pick<RuntimeSettings, 'queues' | 'queueTypes' | 'http'>;
  logger: Logger | false;
  phase(): Phase;
  queues(): readonly QueueState[];
  schedules: readonly Schedule[];
  /** Whether this process leads them. */
  leading(): boolean;
}

export interface Shown {
  metrics: Metrics;
  /** What HTTP answers, also where it is served elsewhere or not at all. */
  health: HealthSource;
  http: HttpServer | undefined;
  /** Lets go of the logger, of the broker and of the clock behind the event loop's lag; all of it can still be asked. */
  end(): void;
}

/** Subscribes logs and metrics to the bus, and makes the HTTP server where one is wanted. */
export function observe(it: Observed): Shown {
  const ends = forwardBrokerEvents(it.broker, it.bus);
  if (it.logger) ends.push(subscribeLogs(it.bus, it.logger));
  const queues = [...it.settings.queues.keys()];
  const others = [...new Set([...it.settings.queueTypes.keys(), ...it.registry.queues])].filter(
    (queue) => !queues.includes(queue),
  );
  const snapshot = cached(() =>
    inspectBroker(it.broker, {
      names: it.names,
      queues,
      others,
      delays: it.registry.delays,
      schedules: it.schedules.length > 0,
    }),
  );
  const metrics = createMetrics({
    jobs: it.registry.all,
    queues,
    schedules: it.schedules.map(({ name }) => name),
    version: VERSION,
    sources: { queues: it.queues, connected: () => it.broker.status.connected, snapshot },
  });
  ends.push(metrics.subscribe(it.bus), metrics.end);
  const health = healthSource({
    version: VERSION,
    phase: it.phase,
    queues: it.queues,
    leading: it.leading,
    broker: () => it.broker.status,
    snapshot,
  });
  const { http } = it.settings;
  return {
    metrics,
    health,
    http: http ? createHttpServer({ ...http, health, metrics }) : undefined,
    end: () => {
      for (const end of ends) end();
    },
  };
}

function forwardBrokerEvents(broker: Broker, bus: EventBus): (() => void)[] {
  return [
    broker.on('connected', (event) => bus.emit('connection.opened', event)),
    broker.on('disconnected', ({ lost, ...event }) =>
      bus.emit(lost ? 'connection.lost' : 'connection.failed', event),
    ),
    broker.on('blocked', (event) => bus.emit('broker.blocked', event)),
    broker.on('unblocked', (event) => bus.emit('broker.unblocked', event)),
    broker.on('stale', (event) => bus.emit('settlement.stale', event)),
  ];
}
