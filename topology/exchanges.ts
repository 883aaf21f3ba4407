import type { Names } from './names.ts';

export interface ExchangeSpec {
  name: string;
  type: 'direct' | 'fanout' | 'topic';
  arguments: Record<string, string>;
}

/**
 * The exchanges that always stand. `jobs` has no alternate exchange, so that an unroutable
 * enqueue comes back to its publisher; `jobs.due` has one, because forty messages without a way
 * would otherwise hold up a delay queue's dead-letter worker (prefetch 32, retried each 180 s).
 * https://www.rabbitmq.com/docs/quorum-queues#activating-at-least-once-dead-lettering
 */
export function exchanges(names: Names): ExchangeSpec[] {
  return [
    { name: names.jobs, type: 'direct', arguments: {} },
    ...dueExchanges(names),
    { name: names.dead, type: 'direct', arguments: {} },
  ];
}

/** The way of what falls due, and the way out where its queue is gone. */
export function dueExchanges(names: Names): ExchangeSpec[] {
  return [
    { name: names.unrouted, type: 'fanout', arguments: {} },
    { name: names.due, type: 'direct', arguments: { 'alternate-exchange': names.unrouted } },
  ];
}

export function delayExchange(names: Names, ms: number): ExchangeSpec {
  return { name: names.delay(ms), type: 'fanout', arguments: {} };
}
