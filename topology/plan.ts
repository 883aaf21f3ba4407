import { ConfigurationError } from '../src/core/errors.ts';
import { rungsOf } from './delays.ts';
import { delayExchange, dueExchanges, type ExchangeSpec, exchanges } from './exchanges.ts';
import { levelBindings, levelExchanges, levelLinks, levelQueues } from './levels.ts';
import { checkQueueName, type Names } from './names.ts';
import { deadQueue, delayQueue, type QueueSpec, type QueueType, unroutedQueue, workQueue } from './queues.ts';
import { scheduleBindings, scheduleExchanges, scheduleQueues } from './schedules.ts';

export type { ExchangeSpec, QueueSpec, QueueType };

export interface BindingSpec {
  exchange: string;
  queue: string;
  routingKey: string;
}

/** A binding between two exchanges: what comes to `from` with such a key goes to `to` as well. */
export interface LinkSpec {
  from: string;
  to: string;
  routingKey: string;
}

/** What should stand on the broker, as plain data, in the order in which it is safe to declare it. */
export interface Topology {
  exchanges: ExchangeSpec[];
  queues: QueueSpec[];
  bindings: BindingSpec[];
  /** Made before the bindings, so that nothing comes in before it has a way on. */
  links?: LinkSpec[];
}

/** What a plan is made of: the work queues there are, and every delay a policy can ask for, in ms. */
export interface TopologyWishes {
  names: Names;
  queues: readonly { name: string; type?: QueueType | undefined }[];
  delays: readonly number[];
  /** Also the levels, on which a job waits for any time. */
  levels?: boolean | undefined;
  /** Also what a leader of schedules needs. */
  schedules?: boolean | undefined;
}

/** @throws ConfigurationError when two things would have one name, or a queue cannot be named so. */
export function planTopology({ names, queues, delays, levels, schedules }: TopologyWishes): Topology {
  const rungs = rungsOf(delays);
  const topology: Topology = {
    exchanges: [
      ...exchanges(names),
      ...rungs.map((ms) => delayExchange(names, ms)),
      ...(schedules ? scheduleExchanges(names) : []),
    ],
    // Dead queues before work queues and `unrouted` first: a message must never dead-letter into nothing.
    queues: [
      unroutedQueue(names),
      ...queues.map(({ name }) => deadQueue(names, checkQueueName(name))),
      ...queues.map(({ name, type }) => workQueue(names, name, checkType(name, type))),
      ...rungs.map((ms) => delayQueue(names, ms)),
      ...(schedules ? scheduleQueues(names) : []),
    ],
    bindings: [
      bindingOfUnrouted(names),
      ...queues.flatMap(({ name }) => bindingsOf(names, name)),
      ...rungs.map((ms) => ({ exchange: names.delay(ms), queue: names.delay(ms), routingKey: '' })),
      ...(schedules ? scheduleBindings(names) : []),
    ],
  };
  refuseDoubles(topology);
  return levels ? withLevels(topology, names) : topology;
}

/** The levels and what stands behind them, for whoever needs them first: a client knows no other queues. */
export function planLevels(names: Names): Topology {
  const behind: Topology = {
    exchanges: dueExchanges(names),
    queues: [unroutedQueue(names)],
    bindings: [bindingOfUnrouted(names)],
  };
  return withLevels(behind, names);
}

function withLevels({ exchanges, queues, bindings }: Topology, names: Names): Topology {
  return {
    exchanges: [...exchanges, ...levelExchanges(names)],
    queues: [...queues, ...levelQueues(names)],
    links: levelLinks(names),
    bindings: [...bindings, ...levelBindings(names)],
  };
}

function bindingOfUnrouted(names: Names): BindingSpec {
  return { exchange: names.unrouted, queue: names.unroutedQueue, routingKey: '' };
}

function bindingsOf(names: Names, queue: string): BindingSpec[] {
  const key = names.queue(queue);
  return [
    { exchange: names.dead, queue: names.deadQueue(queue), routingKey: key },
    { exchange: names.due, queue: key, routingKey: key },
    { exchange: names.jobs, queue: key, routingKey: key },
  ];
}

/** What comes from a JavaScript caller or the environment may be anything. */
function checkType(queue: string, type: QueueType = 'quorum'): QueueType {
  if (type === 'quorum' || type === 'classic') return type;
  throw new ConfigurationError(`queue '${queue}' cannot be of type '${type}': quorum or classic`);
}

function refuseDoubles({ queues }: Topology): void {
  const seen = new Set<string>();
  for (const { name } of queues) {
    if (seen.has(name)) throw new ConfigurationError(`two queues would be called '${name}'; rename one`);
    seen.add(name);
  }
}
