/** What one run enqueues: published on its worker's connection, and answered. */
import type { Broker } from '../broker/broker.ts';
import type { Levels } from '../levels.ts';
import type { Down, PublishOrder } from './protocol.ts';
import { toWire } from './wire-error.ts';

export interface PublishResources {
  broker: Pick<Broker, 'publish'>;
  levels: Pick<Levels, 'publish'>;
}

export class Publishing {
  readonly #it: PublishResources;
  readonly #underWay = new Map<number, AbortController>();

  constructor(resources: PublishResources) {
    this.#it = resources;
  }

  /** Never rejects: what goes wrong is the answer. */
  async publish(order: PublishOrder, answer: (message: Down) => void): Promise<void> {
    const { call } = order;
    const controller = new AbortController();
    this.#underWay.set(call, controller);
    const error = await this.#send(order, controller.signal).then(
      () => undefined,
      (problem) => toWire(problem),
    );
    this.#underWay.delete(call);
    answer({ kind: 'published', call, error });
  }

  /** Who asked for it wants it no more. */
  forget(call: number): void {
    this.#underWay.get(call)?.abort();
  }

  async #send({ publication: sent, deadline, waits }: PublishOrder, signal: AbortSignal): Promise<void> {
    const { buffer, byteOffset, byteLength } = sent.body;
    const publication = { ...sent, body: Buffer.from(buffer, byteOffset, byteLength) };
    const options = { signal, ...(deadline !== undefined && { deadline }) };
    const { broker, levels } = this.#it;
    await (waits ? levels.publish(() => publication, options) : broker.publish(publication, options));
  }
}
