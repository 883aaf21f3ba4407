/** Whether this process leads the schedules: any worker that knows one may, one at a time does. */
import type { Broker, Subscription } from '../broker/broker.ts';
import { Reign, type ReignResources } from './reign.ts';

export interface LeaderResources extends ReignResources {
  broker: Pick<Broker, 'publish' | 'subscribe'>;
  /** Declares what is missing, where this process may. */
  repair(): Promise<void>;
}

/** More than there are schedules and strays: a leader has to see all that is in the queue. */
const PREFETCH = 20_000;
const AGAIN_AFTER_MS = 1000;

export class ScheduleLeader {
  readonly #it: LeaderResources;
  #subscription: Subscription | undefined;
  #reign: Reign | undefined;
  #again: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(resources: LeaderResources) {
    this.#it = resources;
  }

  get leading(): boolean {
    return this.#reign?.leading ?? false;
  }

  start(): void {
    if (this.#stopped || this.#it.schedules.length === 0) return;
    this.#subscription = this.#it.broker.subscribe(this.#it.names.schedules, {
      prefetch: PREFETCH,
      onDelivery: (delivery) => this.#reign?.take(delivery),
      onState: (state) => {
        if (state.state === 'attached') this.#attached();
        else this.#reign?.end(state.reason);
      },
      onMissing: () => this.#it.repair(),
    });
  }

  /** Another one leads from now on. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#again);
    this.#leave('this process stops');
  }

  #attached(): void {
    this.#reign?.end('attached again');
    const reign = new Reign(this.#it, (error) => {
      if (this.#reign === reign) this.#startAgain(error);
    });
    this.#reign = reign;
    reign.begin();
  }

  /** Somebody else may do better meanwhile. */
  #startAgain(error: Error): void {
    this.#it.bus.emit('schedules.failed', { error });
    this.#leave(error.message);
    this.#again = setTimeout(() => this.start(), AGAIN_AFTER_MS);
  }

  #leave(reason: string): void {
    this.#reign?.end(reason);
    this.#reign = undefined;
    // Not cancelled first: the next one would begin while this one still holds the table.
    this.#subscription?.leave();
    this.#subscription = undefined;
  }
}
