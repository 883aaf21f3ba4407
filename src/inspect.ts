/** What stands on the broker, counted from outside: for /healthz, /metrics and `warren status`. */
import { rungsOf } from '../topology/delays.ts';
import type { Names } from '../topology/names.ts';
import { type AdminChannel, AdminError, type Broker, type QueueCounts } from './broker/broker.ts';
import { formatDuration } from './core/duration.ts';
import { readScheduleTable, type ScheduleTable } from './schedule/state.ts';

/** Counts of one work queue and its dead queue; null: not known, a note says why. */
export interface QueueSnapshot {
  /** Waiting, without what consumers hold. */
  ready: number | null;
  dead: number | null;
  /** Consumers in all processes. */
  consumers: number | null;
}

export interface BrokerSnapshot {
  /** By the user's name of the queue. */
  queues: Record<string, QueueSnapshot>;
  /** By delay: `{ '3s': 12 }`. */
  delayed: Record<string, number | null>;
  /** Fell due for a queue that is gone. */
  unrouted: number | null;
  /** What the leader of the schedules last wrote down; left out where nobody asked, null where nobody led yet. */
  schedules?: ScheduleTable | null;
  /** What could not be counted, in words. */
  notes: string[];
}

export interface InspectWishes {
  names: Names;
  /** Work queues by the user's names. */
  queues: readonly string[];
  /** Work queues that are others' business: what cannot be counted of them is left out without a note. */
  others?: readonly string[];
  /** In ms. */
  delays: readonly number[];
  /** Also who leads the schedules. */
  schedules?: boolean | undefined;
}

/**
 * Counts by passive declares. These leave out what consumers hold, and a quorum queue whose leader
 * does not answer within 250 ms counts as empty.
 * @throws AdminError when the broker cannot be asked at all
 */
export async function inspectBroker(
  broker: Pick<Broker, 'admin'>,
  { names, queues, others = [], delays, schedules = false }: InspectWishes,
): Promise<BrokerSnapshot> {
  const rungs = rungsOf(delays);
  const looked = await look(broker, [
    ...queues.flatMap((queue) => [names.queue(queue), names.deadQueue(queue)]),
    ...rungs.map((ms) => names.delay(ms)),
    names.unroutedQueue,
  ]);
  const besides = await look(
    broker,
    others.map((queue) => names.queue(queue)),
  );
  const seen = others.filter((queue) => besides.counts.has(names.queue(queue)));
  const theirDead = await look(
    broker,
    seen.map((queue) => names.deadQueue(queue)),
  );
  for (const [name, counts] of [...besides.counts, ...theirDead.counts]) looked.counts.set(name, counts);
  const ready = (name: string) => looked.counts.get(name)?.ready ?? null;
  return {
    queues: record([...queues, ...seen], (queue) => ({
      ready: ready(names.queue(queue)),
      dead: ready(names.deadQueue(queue)),
      consumers: looked.counts.get(names.queue(queue))?.consumers ?? null,
    })),
    delayed: Object.fromEntries(rungs.map((ms) => [formatDuration(ms), ready(names.delay(ms))])),
    unrouted: ready(names.unroutedQueue),
    ...(schedules ? { schedules: (await readScheduleTable(broker, names)) ?? null } : {}),
    notes: looked.notes,
  };
}

function record<T>(keys: readonly string[], value: (key: string) => T): Record<string, T> {
  return Object.fromEntries(keys.map((key) => [key, value(key)]));
}

interface Looked {
  counts: Map<string, QueueCounts>;
  notes: string[];
}

/** A queue that is missing takes the channel with it: the rest is asked on a new one. */
async function look(broker: Pick<Broker, 'admin'>, queues: readonly string[]): Promise<Looked> {
  const looked: Looked = { counts: new Map(), notes: [] };
  let rest = queues;
  while (rest.length > 0) {
    const asked = rest;
    rest = await broker.admin((channel) => lookOn(channel, asked, looked));
  }
  return looked;
}

/** Returns the queues that are still to be asked. */
async function lookOn(
  channel: AdminChannel,
  queues: readonly string[],
  looked: Looked,
): Promise<readonly string[]> {
  for (const [index, queue] of queues.entries()) {
    try {
      looked.counts.set(queue, await channel.checkQueue(queue));
    } catch (error) {
      looked.notes.push(noteOn(queue, error));
      return queues.slice(index + 1);
    }
  }
  return [];
}

function noteOn(queue: string, error: unknown): string {
  const failure = error instanceof AdminError ? error.failure : undefined;
  if (failure === 'missing') return `queue '${queue}' does not exist`;
  if (failure === 'forbidden') return `queue '${queue}' may not be looked at by this user`;
  throw error;
}
