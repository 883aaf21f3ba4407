import type { Names } from '../../topology/names.ts';
import { AdminError, type Broker } from '../broker/broker.ts';

/** As an operator names the queue of what fell due while its work queue was gone. No work queue may have that name. */
export const UNROUTED = 'unrouted';

/** A dead queue, or `unrouted`. */
export interface DeadQueue {
  broker: Pick<Broker, 'admin' | 'publish' | 'subscribe'>;
  names: Names;
  /** The user's name of the work queue it belongs to, or UNROUTED. */
  queue: string;
}

/** Which one it is, without a broker. */
export type Where = Pick<DeadQueue, 'names' | 'queue'>;

export function fullName({ names, queue }: Where): string {
  return queue === UNROUTED ? names.unroutedQueue : names.deadQueue(queue);
}

/** The user's name of the work queue that a message in this place is for. Its headers may be forged, so they do not count. */
export function queueOf({ names, queue }: Where, { routingKey }: { routingKey: string }): string {
  if (queue !== UNROUTED) return queue;
  const prefix = names.queue('');
  return routingKey.startsWith(prefix) ? routingKey.slice(prefix.length) : routingKey;
}

export function lost(place: DeadQueue): AdminError {
  return new AdminError(
    'unavailable',
    `the connection was lost while looking through '${fullName(place)}'; the last ones that were done may still be in it`,
  );
}
