import type { Broker } from '../../src/broker/broker.ts';
import { createMemoryServer, type MemoryBroker } from '../../src/broker/memory.ts';
import { brokerContract } from './broker.contract.ts';

brokerContract('memory', async () => {
  const server = createMemoryServer();
  const memory = (broker: Broker) => broker as MemoryBroker;
  return {
    create: async () => server.broker(),
    cut: async (broker) => memory(broker).disconnect(),
    mend: async (broker) => memory(broker).reconnect(),
    block: (reason) => server.block(reason),
    unblock: () => server.unblock(),
    end: async () => {},
  };
});
