import type { Names } from './names.ts';

export type QueueType = 'quorum' | 'classic';

export interface QueueSpec {
  name: string;
  arguments: Record<string, string | number | boolean>;
}

/**
 * So high that nothing reaches it, and said explicitly: RabbitMQ 4 otherwise drops a message after
 * 20 returns, and on 3.x the documented "unlimited" of 4.x (-1) deletes it at the first.
 * https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling
 */
export const DELIVERY_LIMIT = 1_000_000_000;

/**
 * A work queue. Dead-lettering is the net below warren's own dead copies, for what the broker itself
 * gives up on. At-least-once needs a quorum queue, `reject-publish` and a dead-letter exchange,
 * else RabbitMQ silently falls back to at-most-once. Classic queues take none of these arguments (406).
 */
export function workQueue(names: Names, queue: string, type: QueueType): QueueSpec {
  const name = names.queue(queue);
  const deadLetter = { 'x-dead-letter-exchange': names.dead, 'x-dead-letter-routing-key': name };
  if (type === 'classic') return { name, arguments: { 'x-queue-type': 'classic', ...deadLetter } };
  return {
    name,
    arguments: {
      'x-queue-type': 'quorum',
      ...deadLetter,
      'x-dead-letter-strategy': 'at-least-once',
      'x-overflow': 'reject-publish',
      'x-delivery-limit': DELIVERY_LIMIT,
    },
  };
}

/** A queue that keeps what it gets: no TTL, no dead-lettering, and browsing never uses it up. */
function keepingQueue(name: string): QueueSpec {
  return { name, arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': DELIVERY_LIMIT } };
}

export function deadQueue(names: Names, queue: string): QueueSpec {
  return keepingQueue(names.deadQueue(queue));
}

export function unroutedQueue(names: Names): QueueSpec {
  return keepingQueue(names.unroutedQueue);
}

/** Never `x-expires`: a queue that expires does not dead-letter what it holds. */
export function delayQueue(names: Names, ms: number): QueueSpec {
  return {
    name: names.delay(ms),
    arguments: {
      'x-queue-type': 'quorum',
      'x-message-ttl': ms,
      'x-dead-letter-exchange': names.due,
      'x-dead-letter-strategy': 'at-least-once',
      'x-overflow': 'reject-publish',
    },
  };
}
