/** What the routes ask of the process they tell about. */
import type { BrokerStatus } from '../broker/broker.ts';
import { type Health, healthOf, type Phase, type QueueState, unreadyReasons } from '../health.ts';
import type { BrokerSnapshot } from '../inspect.ts';

export interface HealthSource {
  /** Why the process does not consume as it should; empty: ready. */
  ready(): readonly string[] | Promise<readonly string[]>;
  /** Must answer within two seconds, also while the broker does not. */
  health(): Promise<Health>;
}

export interface HealthFrom {
  version: string;
  phase(): Phase;
  /** What each queue does in this process. */
  queues(): readonly QueueState[];
  /** Whether this process leads the schedules. */
  leading?(): boolean;
  broker(): BrokerStatus;
  /** Bounded in time; undefined: the broker did not answer. Not asked while it is not connected. */
  snapshot(): Promise<BrokerSnapshot | undefined>;
}

export function healthSource(from: HealthFrom): HealthSource {
  return {
    ready: () => unreadyReasons(from.phase(), from.queues()),
    async health() {
      const snapshot = from.broker().connected ? await from.snapshot() : undefined;
      return healthOf({
        version: from.version,
        broker: from.broker(),
        snapshot,
        states: from.queues(),
        leading: from.leading?.() ?? false,
        phase: from.phase(),
      });
    },
  };
}
