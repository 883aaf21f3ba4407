/** Dead letters for tests, and what lies in a queue. */

import type { Broker, MessageProperties } from '../../src/broker/broker.ts';
import { deadProperties, jobProperties } from '../../src/core/envelope.ts';
import { applyTopology } from '../../topology/declarer.ts';
import { type Names, namesFor } from '../../topology/names.ts';
import { planTopology } from '../../topology/plan.ts';

export interface Post {
  readonly broker: Broker;
  readonly names: Names;
  /** Queue `mail` and all that belongs to it. */
  declare(...delays: number[]): Promise<void>;
  /** Puts messages straight into the dead queue of `mail`, in this order. */
  bury(...letters: Letter[]): Promise<void>;
  /** Jobs with these ids that failed twelve times. */
  buryJobs(...ids: string[]): Promise<void>;
  /** What lies in a queue, looked at and put back. */
  contents(queue: string): Promise<Found[]>;
  ids(queue: string): Promise<(string | undefined)[]>;
}

export interface Letter {
  body?: Buffer;
  properties: MessageProperties;
}

export interface Found {
  id: string | undefined;
  body: string;
  properties: MessageProperties;
}

export const DIED_AT = Date.UTC(2024, 4, 1, 12);
export const ENQUEUED_AT = DIED_AT - 60_000;

export function deadJob(id: string, name = 'SendReceipt'): Letter {
  const job = jobProperties({ id, name, now: ENQUEUED_AT });
  const failed = { ...job, headers: { ...job.headers, 'warren-attempt': 12 } };
  const error = { name: 'Error', message: `no mail for ${id}` };
  return {
    properties: deadProperties(failed, { reason: 'attempts-exhausted', error, queue: 'mail', now: DIED_AT }),
  };
}

export function postOffice(broker: Broker, namespace: string): Post {
  const names = namesFor(namespace);
  const bury = async (...letters: Letter[]) => {
    for (const { body = Buffer.from('{"to":"me"}'), properties } of letters)
      await broker.publish({ exchange: names.dead, routingKey: names.queue('mail'), body, properties });
  };
  const contents = (queue: string) => look(broker, names.queue(queue));
  return {
    broker,
    names,
    declare: async (...delays) =>
      void (await applyTopology(broker, planTopology({ names, queues: [{ name: 'mail' }], delays }))),
    bury,
    buryJobs: (...ids) => bury(...ids.map((id) => deadJob(id))),
    contents,
    ids: async (queue) => (await contents(queue)).map(({ id }) => id),
  };
}

function look(broker: Broker, queue: string): Promise<Found[]> {
  return broker.admin(async (channel) => {
    const found: Found[] = [];
    for (let message = await channel.get(queue); message; message = await channel.get(queue)) {
      const { body, properties } = message;
      found.push({ id: properties.messageId, body: body.toString('base64'), properties });
    }
    return found;
  });
}
