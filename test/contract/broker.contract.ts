/** The contract of src/broker/broker.ts, for any implementation: the same suite runs on RabbitMQ and in memory. */
import { afterAll, afterEach, beforeAll, beforeEach, describe } from '@jest/globals';
import type { Broker } from '../../src/broker/broker.ts';
import { adminContract } from './parts/admin.ts';
import { connectionContract } from './parts/connection.ts';
import { delayContract } from './parts/delay.ts';
import { publishContract } from './parts/publish.ts';
import { settleContract } from './parts/settle.ts';
import { subscribeContract } from './parts/subscribe.ts';
import { type ContractSubject, World } from './subject.ts';

export function brokerContract(name: string, makeSubject: () => Promise<ContractSubject>): void {
  describe(`broker contract: ${name}`, () => {
    let subject: ContractSubject;
    let cleaner: Broker;
    let world: World;
    beforeAll(async () => {
      subject = await makeSubject();
      cleaner = await subject.create();
      await cleaner.connect({ timeout: 60_000 });
    });
    afterAll(async () => {
      await cleaner.close(0);
      await subject.end();
    });
    beforeEach(async () => {
      world = new World(subject, cleaner);
      await world.begin();
    });
    afterEach(() => world.end());

    const parts = {
      publishContract,
      settleContract,
      subscribeContract,
      delayContract,
      adminContract,
      connectionContract,
    };
    for (const part of Object.values(parts)) part(() => world);
  });
}
