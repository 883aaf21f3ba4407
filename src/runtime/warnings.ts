/** What a worker tells at its start of that nobody may have meant. */
import type { RuntimeSettings } from '../config.ts';
import type { EventBus } from '../core/events.ts';
import type { Registry } from '../core/registry.ts';
import { USUAL_ACK_TIMEOUT_MS } from '../run/taken-back.ts';

export function warn(bus: EventBus, registry: Registry, settings: RuntimeSettings): void {
  tellUnnamed(bus, registry, settings);
  tellTooLong(bus, registry, settings);
}

function tellUnnamed(bus: EventBus, { queues: named }: Registry, { queues }: RuntimeSettings): void {
  for (const queue of queues.keys()) if (!named.includes(queue)) bus.emit('queue.unnamed', { queue, named });
}

function tellTooLong(bus: EventBus, registry: Registry, settings: RuntimeSettings): void {
  const { queues, ackTimeoutMs = USUAL_ACK_TIMEOUT_MS } = settings;
  for (const { name, queue, timeoutMs = 0 } of registry.all)
    if (queues.has(queue) && timeoutMs > ackTimeoutMs)
      bus.emit('ack.may-time-out', { job: name, queue, timeoutMs, ackTimeoutMs });
}
