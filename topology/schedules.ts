/** What schedules need on the broker: a queue that only one process consumes at a time, and one to look into. */
import type { ExchangeSpec } from './exchanges.ts';
import type { Names } from './names.ts';
import type { BindingSpec } from './plan.ts';
import { DELIVERY_LIMIT, type QueueSpec } from './queues.ts';

export function scheduleExchanges(names: Names): ExchangeSpec[] {
  return [names.schedules, names.scheduleState].map((name) => ({ name, type: 'fanout', arguments: {} }));
}

/**
 * `schedules` holds the next tick of each schedule and the leader's table. Whoever holds a message here is the only
 * one who can let it go: one consumer at a time, and the next one only when the channel of the one before is gone.
 * What is rejected here is a tick whose time has come; it falls due as what comes out of a delay does.
 */
export function scheduleQueues(names: Names): QueueSpec[] {
  const quorum = { 'x-queue-type': 'quorum', 'x-delivery-limit': DELIVERY_LIMIT };
  return [
    {
      name: names.schedules,
      arguments: {
        ...quorum,
        'x-single-active-consumer': true,
        'x-dead-letter-exchange': names.due,
        'x-dead-letter-strategy': 'at-least-once',
        'x-overflow': 'reject-publish',
      },
    },
    // What a leader holds nobody else can look at, so it leaves a copy here; only the last one is kept.
    { name: names.scheduleState, arguments: { ...quorum, 'x-max-length': 1 } },
  ];
}

export function scheduleBindings(names: Names): BindingSpec[] {
  return [names.schedules, names.scheduleState].map((name) => ({
    exchange: name,
    queue: name,
    routingKey: '',
  }));
}
