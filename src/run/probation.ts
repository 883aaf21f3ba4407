/** Which deliveries of one queue must run alone in a child, and the seats that they take there. */
import type { Delivery } from '../broker/broker.ts';
import type { EventBus } from '../core/events.ts';
import { readCrashes } from '../core/headers.ts';
import type { Registry } from '../core/registry.ts';
import type { Seats } from '../isolate/seats.ts';
import type { Run } from './run.ts';

/**
 * A delivery that the broker has handed out this often before, and that is here again, may be what ended the workers
 * that had it. Two, so that one deploy, one lost connection or one killed worker puts nobody on probation.
 */
const SUSPICIOUS_DELIVERIES = 2;

/** How often this process gave a delivery back by itself. */
type GivenBack = (id: string | undefined) => number;

/** True for a delivery that may have taken workers down. Asked of every delivery. */
export function isSuspect(delivery: Delivery, givenBack: GivenBack): boolean {
  if (delivery.redelivered && (delivery.deliveryCount ?? 0) >= SUSPICIOUS_DELIVERIES) {
    const own = givenBack(delivery.properties.messageId);
    if ((delivery.deliveryCount ?? 0) - own >= SUSPICIOUS_DELIVERIES) return true;
  }
  return readCrashes(delivery.properties) > 0;
}

export interface ProbationResources {
  queue: string;
  bus: EventBus;
  registry: Registry;
  /** Undefined where there are no children. */
  seats: Seats | undefined;
  givenBack: GivenBack;
}

export class Probation {
  readonly #it: ProbationResources;
  #told = false;

  constructor(resources: ProbationResources) {
    this.#it = resources;
  }

  get hasSeat(): boolean {
    return this.#it.seats?.free === true;
  }

  /** Not for what has a process of its own anyway, and harms nobody. */
  isFor(delivery: Delivery): boolean {
    if (!isSuspect(delivery, this.#it.givenBack)) return false;
    const registration = this.#it.registry.get(delivery.properties.type);
    if (!registration || registration.isolation === 'process') return false;
    if (!this.#it.seats) this.#tell(delivery, registration.name);
    return this.#it.seats !== undefined;
  }

  /** Takes a seat; returns the function that gives it back. */
  begin({ id, registration, headers, delivery }: Run): () => void {
    const { queue, bus, seats } = this.#it;
    seats?.take();
    bus.emit('job.suspected', {
      ...{ id, job: registration.name, queue, attempt: headers.attempt },
      deliveries: delivery.deliveryCount ?? 0,
      crashes: headers.crashes,
    });
    return () => seats?.giveBack();
  }

  /** Calls whenever a seat is given back. Returns the function that ends it. */
  onSeat(call: () => void): () => void {
    return this.#it.seats?.onFree(call) ?? (() => {});
  }

  /** Once. */
  #tell({ properties: { messageId: id = '' } }: Delivery, job: string): void {
    if (this.#told) return;
    this.#told = true;
    this.#it.bus.emit('probation.impossible', { id, job, queue: this.#it.queue });
  }
}
