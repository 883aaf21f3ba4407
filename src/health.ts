/** How warren is, in one value: what /healthz answers and `warren status` prints. Pure. */
import type { BrokerStatus } from './broker/broker.ts';
import { formatDuration } from './core/duration.ts';
import type { BrokerSnapshot, QueueSnapshot } from './inspect.ts';
import type { OverdueRun } from './run/watchdog.ts';

/** What one queue does in this process. A Runner's `state` is one. */
export interface QueueState {
  /** The user's name. */
  queue: string;
  /** Jobs that run now. */
  running: number;
  concurrency: number;
  /** Consuming on an open channel. */
  attached: boolean;
  /** How long its oldest run goes on, in seconds; 0 when nothing runs. */
  oldestRunningSeconds: number;
  /** Runs that go on for longer than they may. */
  overdue?: readonly OverdueRun[];
}

/** Where a process is between its start and its end. */
export type Phase = 'starting' | 'running' | 'draining' | 'stopped';

export interface Health {
  /** `ok`; `degraded`: works, but not all of it; `down`: no connection to the broker. */
  status: 'ok' | 'degraded' | 'down';
  /** Of warren. */
  version: string;
  /** `version` is null before the first connection. */
  broker: { connected: boolean; version: string | null };
  /** `running`: in the process that answers (`warren status` runs nothing). Null: not known. */
  queues: Record<string, QueueSnapshot & { running: number }>;
  /** Waiting in each delay queue, for all work queues together. */
  delayed: Record<string, number | null>;
  unrouted: number | null;
  /** Left out where no job has a schedule. */
  schedules?: {
    /** Null: nobody, or not known. */
    leader: { host: string; pid: number; since: string } | null;
    /** Whether it is the process that answers. */
    leading: boolean;
  };
  /** Why it is not `ok`; left out when it is. */
  reasons?: string[];
}

export interface HealthFacts {
  version: string;
  broker: BrokerStatus;
  /** Undefined: the broker could not be asked in time. */
  snapshot: BrokerSnapshot | undefined;
  /** Whether this process leads the schedules. */
  leading?: boolean;
  /** None where the process runs no jobs. */
  states?: readonly QueueState[];
  /** Default `running`. */
  phase?: Phase;
}

export function healthOf(facts: HealthFacts): Health {
  const { version, broker, snapshot, states = [] } = facts;
  const reasons = [
    ...brokerReasons(facts),
    ...unreadyReasons(facts.phase ?? 'running', states),
    ...overdueReasons(states),
  ];
  return {
    status: !broker.connected ? 'down' : reasons.length > 0 ? 'degraded' : 'ok',
    version,
    broker: { connected: broker.connected, version: broker.version ?? null },
    queues: queuesOf(snapshot, states),
    delayed: snapshot?.delayed ?? {},
    unrouted: snapshot?.unrouted ?? null,
    ...schedulesOf(facts),
    ...(reasons.length > 0 ? { reasons } : {}),
  };
}

function schedulesOf({ snapshot, leading = false }: HealthFacts): Pick<Health, 'schedules'> {
  if (snapshot?.schedules === undefined) return {};
  const leader = snapshot.schedules?.leader;
  return {
    schedules: {
      leader: leader ? { ...leader, since: new Date(leader.since).toISOString() } : null,
      leading,
    },
  };
}

/** Why a process does not consume as it should; empty: it is ready. The broker's own state is not looked at. */
export function unreadyReasons(phase: Phase, states: readonly QueueState[]): string[] {
  const detached = states
    .filter(({ attached }) => !attached)
    .map(({ queue }) => `queue '${queue}': not consuming`);
  return phase === 'running' ? detached : [phase];
}

function brokerReasons({ broker, snapshot, states = [] }: HealthFacts): string[] {
  if (!broker.connected) return ['the broker is not connected'];
  const blocked = broker.blocked === undefined ? [] : [`the broker takes no jobs: ${broker.blocked}`];
  if (!snapshot) return [...blocked, 'the broker did not answer in time'];
  return [...blocked, ...snapshot.notes, ...unattended(snapshot, states)];
}

/** A worker whose slots are all taken may be between two consumers, and takes the next when one of them is free. */
function unattended({ queues }: BrokerSnapshot, states: readonly QueueState[]): string[] {
  const busy = new Set(states.filter(({ running }) => running > 0).map(({ queue }) => queue));
  return Object.entries(queues)
    .filter(([queue, { ready, consumers }]) => (ready ?? 0) > 0 && consumers === 0 && !busy.has(queue))
    .map(([queue, { ready }]) => `queue '${queue}': ${ready} ready and nobody consumes`);
}

/** The oldest of each queue; a hundred of them have one cause. */
function overdueReasons(states: readonly QueueState[]): string[] {
  return states.flatMap(({ queue, overdue: [oldest] = [], overdue = [] }) => {
    if (!oldest) return [];
    const { id, job, seconds, limitSeconds } = oldest;
    const more = overdue.length > 1 ? ` (and ${overdue.length - 1} more)` : '';
    return [
      `queue '${queue}': ${job} ${id} has run for ${formatDuration(Math.round(seconds) * 1000)}, its limit is ${formatDuration(limitSeconds * 1000)}${more}`,
    ];
  });
}

function queuesOf(snapshot: BrokerSnapshot | undefined, states: readonly QueueState[]): Health['queues'] {
  const running = new Map(states.map((state) => [state.queue, state.running]));
  const names = new Set([...Object.keys(snapshot?.queues ?? {}), ...running.keys()]);
  return Object.fromEntries(
    [...names].map((name) => [name, queueHealth(snapshot?.queues[name], running.get(name) ?? 0)]),
  );
}

function queueHealth(counts: QueueSnapshot | undefined, running: number): Health['queues'][string] {
  return {
    ready: counts?.ready ?? null,
    running,
    dead: counts?.dead ?? null,
    consumers: counts?.consumers ?? null,
  };
}
