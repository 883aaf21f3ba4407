/** What stands on the broker, read through its management API in the shape of a plan. */
import type { BindingSpec, ExchangeSpec, LinkSpec, QueueSpec, Topology } from '../../topology/plan.ts';
import { management } from './management.ts';

interface ManagedBinding {
  source: string;
  destination: string;
  destination_type: string;
  routing_key: string;
}

interface Durable {
  durable?: boolean;
  auto_delete?: boolean;
}

/** Everything whose name begins with `prefix`. Throws where something is not durable, which a plan never wants. */
export async function standing(prefix: string): Promise<Topology> {
  const api = management();
  const mine = <T extends { name: string }>(all: T[]) => all.filter(({ name }) => name.startsWith(prefix));
  const exchanges = mine(await api.exchanges());
  const queues = mine(await api.queues());
  const bindings = await api.get<ManagedBinding[]>('/bindings/%2F');
  const ours = bindings.filter(({ source }) => source.startsWith(prefix));
  [...exchanges, ...queues].forEach(mustLast);
  return {
    exchanges: exchanges.map(
      ({ name, type, arguments: args }) => ({ name, type, arguments: args }) as ExchangeSpec,
    ),
    queues: queues.map(({ name, arguments: args }) => ({ name, arguments: args }) as QueueSpec),
    bindings: ours.filter(toQueue).map(bindingOf),
    ...(ours.every(toQueue) ? {} : { links: ours.filter((one) => !toQueue(one)).map(linkOf) }),
  };
}

function mustLast(thing: { name: string } & Durable): void {
  if (!thing.durable || thing.auto_delete) throw new Error(`${thing.name} would not outlive a restart`);
}

function bindingOf({ source, destination, routing_key }: ManagedBinding): BindingSpec {
  return { exchange: source, queue: destination, routingKey: routing_key };
}

const toQueue = ({ destination_type }: ManagedBinding) => destination_type === 'queue';

function linkOf({ source, destination, routing_key }: ManagedBinding): LinkSpec {
  return { from: source, to: destination, routingKey: routing_key };
}

/** The same in an order of its own, for comparing. */
export function sorted({ exchanges, queues, bindings, links }: Topology): Topology {
  const byText = <T>(things: T[]) =>
    [...things].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  const plain = <T extends { name: string; arguments: object }>(things: T[]) =>
    byText(
      things.map((thing) => ({
        ...thing,
        arguments: Object.fromEntries(byText(Object.entries(thing.arguments))),
      })),
    );
  return {
    exchanges: plain(exchanges),
    queues: plain(queues),
    bindings: byText(bindings),
    ...(links && { links: byText(links) }),
  } as Topology;
}
