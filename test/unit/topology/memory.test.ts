/** The declarer on the memory broker: a test kit's topology is compared as a real one is. */
import { describe, expect, it } from '@jest/globals';
import { createMemoryBroker } from '../../../src/broker/memory.ts';
import { applyTopology, diffTopology } from '../../../topology/declarer.ts';
import { namesFor } from '../../../topology/names.ts';
import { planTopology } from '../../../topology/plan.ts';

const plan = () => planTopology({ names: namesFor(), queues: [{ name: 'mail' }], delays: [300] });

async function connected() {
  const broker = createMemoryBroker();
  await broker.connect({ timeout: 30_000 });
  return broker;
}

describe('the memory broker', () => {
  it('is given the plan, and given it again', async () => {
    const broker = await connected();
    expect((await diffTopology(broker, plan())).fine).toEqual([]);
    const { created } = await applyTopology(broker, plan());
    expect(created).toHaveLength(plan().exchanges.length + plan().queues.length);
    expect(await applyTopology(broker, plan())).toMatchObject({ created: [], present: created });
    await broker.close(0);
  });

  it('tells every argument that differs', async () => {
    const broker = await connected();
    const args = { 'x-queue-type': 'quorum', 'x-message-ttl': 5000 };
    await broker.admin(
      async (channel) => void (await channel.declareQueue({ name: 'delayed-300ms', arguments: args })),
    );
    const { differences } = await diffTopology(broker, plan());
    const different = differences.find(({ state }) => state === 'different');
    expect(different).toMatchObject({ name: 'delayed-300ms', state: 'different' });
    if (different?.state !== 'different') return;
    expect(new Map(different.changes.map(({ argument, found }) => [argument, found]))).toEqual(
      new Map([
        ['x-message-ttl', '5000'],
        ['x-dead-letter-exchange', null],
        ['x-dead-letter-strategy', null],
        ['x-overflow', null],
      ]),
    );
    await broker.close(0);
  });
});
