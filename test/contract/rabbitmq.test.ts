import type { Broker } from '../../src/broker/broker.ts';
import { createRabbitBroker } from '../../src/broker/rabbitmq.ts';
import { type FaultProxy, startProxy } from '../support/proxy.ts';
import { brokerContract } from './broker.contract.ts';

brokerContract('RabbitMQ', async () => {
  const proxies = new Map<Broker, FaultProxy>();
  const proxyOf = (broker: Broker) => proxies.get(broker) as FaultProxy;
  return {
    create: async () => {
      const proxy = await startProxy();
      const broker = createRabbitBroker({ urls: [proxy.url], connectionName: 'contract' });
      proxies.set(broker, proxy);
      return broker;
    },
    cut: (broker) => proxyOf(broker).refuse(),
    mend: (broker) => proxyOf(broker).resume(),
    end: async () => {
      await Promise.all([...proxies.values()].map((proxy) => proxy.close()));
    },
  };
});
