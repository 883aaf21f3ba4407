/** Deliveries of runs that go on, or have ended, in this process: what must not begin a second time. */
import type { Delivery } from '../broker/broker.ts';
import type { EventBus } from '../core/events.ts';
import { type JobHeaders, readHeaders } from '../core/headers.ts';
import { isTick, mayBeKnown, Recall, sameRun } from './recall.ts';
import type { Run } from './run.ts';
import { type Owed, OwedSettlements, overdue, tookTooLong } from './taken-back.ts';

export interface KnownRunsResources {
  queue: string;
  bus: EventBus;
  now(): number;
  /** Runs that are not settled yet, oldest first. */
  active: ReadonlySet<Run>;
  /** How many deliveries can be unacked at once. */
  held: number;
  /** Settles a failure whose message was gone with the one that came back. */
  pay(owed: Owed): void;
}

export class KnownRuns {
  readonly #it: KnownRunsResources;
  readonly #recall: Recall;
  readonly #owed = new OwedSettlements();

  constructor(resources: KnownRunsResources) {
    this.#it = resources;
    this.#recall = new Recall(resources.held);
  }

  /** Deals with a delivery of a run that this process knows. False: it is to be run. */
  dealtWith(delivery: Delivery): boolean {
    if (!mayBeKnown(delivery)) return false;
    const { messageId: id } = delivery.properties;
    if (delivery.redelivered)
      this.#it.bus.emit('delivery.redelivered', { queue: this.#it.queue, id: id ?? '' });
    if (id === undefined) return false;
    const headers = this.#headers(delivery);
    return (
      headers !== undefined && (this.#ended(id, headers, delivery) || this.#goesOn(id, headers, delivery))
    );
  }

  /** As `dealtWith`, of one that waited here meanwhile: its run may go on, or have ended, on another copy of it. */
  dealtWithMeanwhile(delivery: Delivery): boolean {
    const { messageId: id } = delivery.properties;
    if (id === undefined || !mayBeKnown(delivery)) return false;
    const headers = this.#headers(delivery);
    return (
      headers !== undefined && (this.#hasAcked(id, headers, delivery) || this.#goesOn(id, headers, delivery))
    );
  }

  /** Settled for good, whether or not the ack arrives. */
  remember(id: string, headers: JobHeaders): void {
    this.#recall.remember(id, headers);
  }

  /** A failure that could not be settled. */
  owe(owed: Owed): void {
    this.#owed.add(owed);
  }

  /** Their messages go to anybody now. Who runs no longer than the broker waits goes on, and gets its message back. */
  takenBack(afterMs: number, limit: { known: boolean }): void {
    const late = overdue(this.#it.active, afterMs, limit);
    if (late.length === 0) return;
    this.#it.bus.emit('ack.timed-out', { queue: this.#it.queue, afterMs, ids: late.map(({ id }) => id) });
    for (const run of late) {
      this.#owed.mayOwe(run);
      run.abort(tookTooLong(afterMs));
    }
  }

  /** Undefined: an operator moved it here from the dead queue by other tools than ours, which makes it a new run. */
  #headers({ properties }: Delivery): JobHeaders | undefined {
    const headers = readHeaders(properties, this.#it.now());
    return headers.deadAt === undefined ? headers : undefined;
  }

  #ended(id: string, headers: JobHeaders, delivery: Delivery): boolean {
    if (this.#hasAcked(id, headers, delivery)) return true;
    const owed = this.#owed.take(id, headers, delivery);
    if (owed) this.#it.pay(owed);
    return owed !== undefined;
  }

  #hasAcked(id: string, headers: JobHeaders, delivery: Delivery): boolean {
    if (!this.#recall.has(id, headers)) return false;
    delivery.ack();
    return true;
  }

  #goesOn(id: string, headers: JobHeaders, delivery: Delivery): boolean {
    for (const run of this.#it.active) {
      if (run.id !== id || !sameRun(run.headers, headers)) continue;
      if (!run.delivery.body.equals(delivery.body)) continue;
      if (!run.delivery.live) run.delivery = delivery;
      else if (isSecondCopy(run, headers, delivery)) delivery.ack();
      else continue;
      return true;
    }
    return false;
  }
}

/**
 * Of a retry whose confirm was lost, or of what the broker doubled. The one that the run holds stays until it is settled,
 * and is handed out again if this process dies. Not of a run that is over: a snooze comes back as the same run, and may
 * do so before its confirm. Two foreign messages that say nothing of when they were enqueued may look alike on purpose.
 */
function isSecondCopy(run: Run, headers: JobHeaders, delivery: Delivery): boolean {
  return !run.ended && (isTick(delivery) || headers.enqueuedAt !== undefined);
}
