/**
 * What shall go wrong with one of the next publishes. `lost`: the connection goes before the broker has the
 * message. `unconfirmed`: it goes after that, before the confirm, so that a second try makes a second copy.
 * `refused`: the broker nacks it.
 */
export type PublishFault = 'lost' | 'unconfirmed' | 'refused';

/** Faults that were ordered and did not happen yet. */
export class Faults {
  #publishes: PublishFault[] = [];
  #acks = 0;

  failPublishes(fault: PublishFault, count: number): void {
    this.#publishes.push(...Array<PublishFault>(count).fill(fault));
  }

  takePublishFault(): PublishFault | undefined {
    return this.#publishes.shift();
  }

  loseAcks(count: number): void {
    this.#acks += count;
  }

  takeLostAck(): boolean {
    if (this.#acks === 0) return false;
    this.#acks--;
    return true;
  }
}
