/** What children say → log lines and events of this process. */
import type { EventBus } from '../core/events.ts';
import type { AttemptResources } from '../run/attempt.ts';
import { loggable } from './plain.ts';
import type { Told } from './protocol.ts';
import { fromWire } from './wire-error.ts';

export interface Listeners extends Pick<AttemptResources, 'logFor'> {
  bus: EventBus;
}

export function tell({ bus, logFor }: Listeners, message: Told): void {
  switch (message.kind) {
    case 'log':
      logFor(message.about)[message.level](message.message, loggable(message.fields));
      break;
    case 'progress':
      bus.emit('job.progress', { ...message.about, value: message.value });
      break;
    case 'enqueued':
      bus.emit('job.enqueued', message.event);
      break;
    case 'publish-failed':
      bus.emit('publish.failed', { ...message.event, error: fromWire(message.error) });
      break;
    case 'stray':
      bus.emit('rejection.unhandled', { error: fromWire(message.error), id: message.id, job: message.job });
  }
}
