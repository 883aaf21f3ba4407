/** What a process stands on: the topology it wants, declared or checked at its start and put back when somebody deletes it. */
import { applyTopology, verifyTopology } from '../../topology/declarer.ts';
import type { Topology } from '../../topology/plan.ts';
import { AdminError, type Broker } from '../broker/broker.ts';
import type { EventBus } from '../core/events.ts';
import { jittered, Pause } from '../deadline.ts';
import type { DeclareMode } from '../options.ts';

export interface GroundResources {
  broker: Pick<Broker, 'admin'>;
  bus: EventBus;
  topology: Topology;
  declare: DeclareMode;
}

const FIRST_PAUSE_MS = 500;

export class Ground {
  readonly #it: GroundResources;
  readonly #pause = new Pause();
  #repairing: Promise<void> | undefined;
  #ended = false;

  constructor(resources: GroundResources) {
    this.#it = resources;
  }

  /**
   * A broker that was there and does not answer now will be there again: it is asked until `end`.
   * @throws TopologyMismatchError, AdminError where it refuses
   */
  async declare(): Promise<void> {
    for (let failures = 1; !this.#ended; failures++) {
      try {
        return await this.#declareOnce();
      } catch (error) {
        if (!(error instanceof AdminError && error.failure === 'unavailable')) throw error;
        if (this.#ended) return;
        this.#it.bus.emit('topology.failed', { error });
        await this.#pause.take(jittered(failures, Math.random, FIRST_PAUSE_MS));
      }
    }
  }

  end(): void {
    this.#ended = true;
    this.#pause.end();
  }

  async #declareOnce(): Promise<void> {
    const { broker, topology, declare } = this.#it;
    if (declare === 'full') await this.#apply();
    if (declare !== 'verify') return;
    const { differences } = await verifyTopology(broker, topology);
    const uncompared = differences.map(({ what, name }) => `${what} '${name}'`);
    if (uncompared.length > 0) this.#it.bus.emit('topology.unverified', { uncompared });
  }

  /** Puts back what is missing, where this process may. Many may ask at once. */
  repair(): Promise<void> {
    if (this.#it.declare !== 'full') return Promise.resolve();
    this.#repairing ??= this.#apply().finally(() => {
      this.#repairing = undefined;
    });
    return this.#repairing;
  }

  /** Tells what was created, here or by others. */
  readonly tell = (created: string[]): void => {
    if (created.length > 0) this.#it.bus.emit('topology.applied', { created });
  };

  async #apply(): Promise<void> {
    const { created } = await applyTopology(this.#it.broker, this.#it.topology);
    this.tell(created);
  }
}
