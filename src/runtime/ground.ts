/** What a process stands on: the topology it wants, declared or checked at its start and put back when somebody deletes it. */
import { applyTopology, verifyTopology } from '../../topology/declarer.ts';
import type { Topology } from '../../topology/plan.ts';
import type { Broker } from '../broker/broker.ts';
import type { EventBus } from '../core/events.ts';
import type { DeclareMode } from '../options.ts';

export interface GroundResources {
  broker: Pick<Broker, 'admin'>;
  bus: EventBus;
  topology: Topology;
  declare: DeclareMode;
}

export class Ground {
  readonly #it: GroundResources;
  #repairing: Promise<void> | undefined;

  constructor(resources: GroundResources) {
    this.#it = resources;
  }

  /** @throws TopologyMismatchError, AdminError */
  async declare(): Promise<void> {
    const { broker, topology, declare } = this.#it;
    if (declare === 'full') await this.#apply();
    if (declare === 'verify') await verifyTopology(broker, topology);
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
