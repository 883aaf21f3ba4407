/** The broker a fault is played on: a node of its own, a cluster of its own, or one shared with other tests. */
import {
  amqpUrl,
  managementUrl,
  type PrivateBroker,
  type Series,
  series,
  startPrivateBroker,
} from '../support/broker.ts';

export interface Ground extends AsyncDisposable {
  readonly series: Series;
  readonly urls: readonly string[];
  readonly managementUrls: readonly string[];
  /** Those it may stop; none where the broker is shared. */
  readonly nodes: readonly PrivateBroker[];
}

/** The broker of `npm test`: never stopped, never alarmed. */
export function sharedGround(): Ground {
  return {
    series,
    urls: [amqpUrl()],
    managementUrls: [managementUrl()],
    nodes: [],
    async [Symbol.asyncDispose]() {},
  };
}

export async function privateGround(wanted: Series): Promise<Ground> {
  return groundOf([await startPrivateBroker(wanted)]);
}

/** Three nodes in one cluster. */
export async function clusterGround(wanted: Series = '4.3'): Promise<Ground> {
  const nodes = [await startPrivateBroker(wanted)];
  const [{ name: join }] = nodes as [PrivateBroker];
  while (nodes.length < 3) nodes.push(await startPrivateBroker(wanted, { join }));
  return groundOf(nodes);
}

function groundOf(nodes: readonly PrivateBroker[]): Ground {
  return {
    series: nodes[0]?.series ?? 'system',
    urls: nodes.map(({ url }) => url),
    managementUrls: nodes.map((node) => node.managementUrl),
    nodes,
    async [Symbol.asyncDispose]() {
      for (const node of nodes) await node.remove();
    },
  };
}
