import { expect, it } from '@jest/globals';
import { type AdminChannel, AdminError, type AdminFailure, type Broker } from '../../../src/broker/broker.ts';
import { EventBus } from '../../../src/core/events.ts';
import type { DeclareMode } from '../../../src/options.ts';
import { Ground } from '../../../src/runtime/ground.ts';
import { createTestServer } from '../../../src/testing.ts';
import { namesFor } from '../../../topology/names.ts';
import { planTopology } from '../../../topology/plan.ts';

/** On a broker that fails like this, in this order, before it works. */
async function groundOn(failures: AdminFailure[], declare: DeclareMode = 'full') {
  const broker = createTestServer().broker();
  await broker.connect({ timeout: 1000 });
  const failing: Pick<Broker, 'admin'> = {
    admin: <T>(use: (channel: AdminChannel) => Promise<T>) => {
      const failure = failures.shift();
      return failure ? Promise.reject(new AdminError(failure, failure)) : broker.admin(use);
    },
  };
  const bus = new EventBus();
  const told: string[] = [];
  bus.on('topology.failed', ({ error }) => void told.push(error.message));
  bus.on('topology.applied', () => void told.push('applied'));
  bus.on('topology.unverified', ({ uncompared }) => void told.push(...uncompared));
  const topology = planTopology({ names: namesFor(), queues: [{ name: 'mail' }], delays: [3000] });
  return { told, ground: new Ground({ broker: failing, bus, topology, declare }) };
}

it('is declared in the end where the broker did not answer, since it was there before', async () => {
  const { ground, told } = await groundOn(['unavailable']);
  await ground.declare();
  expect(told).toEqual(['unavailable', 'applied']);
});

it('goes on no longer than its runtime', async () => {
  const { ground, told } = await groundOn(Array.from({ length: 1000 }, () => 'unavailable'));
  const declared = ground.declare();
  await new Promise(setImmediate);
  ground.end();
  await declared;
  expect(told).not.toContain('applied');
});

it('what it may not declare stays an error', async () => {
  const { ground } = await groundOn(['forbidden']);
  await expect(ground.declare()).rejects.toThrow('forbidden');
});

it('says what is there and could not be compared', async () => {
  const { ground, told } = await groundOn(Array(100).fill('forbidden'), 'verify');
  await ground.declare();
  expect(told).toContain("queue 'mail'");
  expect(told).toContain("exchange 'jobs'");
});
