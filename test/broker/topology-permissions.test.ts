/** Users who may not do everything: told in words, never a crash, and `verify` works for a worker that may only read. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Broker } from '../../src/broker/broker.ts';
import { createRabbitBroker } from '../../src/broker/rabbitmq.ts';
import { TopologyMismatchError } from '../../src/core/errors.ts';
import { applyTopology, diffTopology, type TopologyDiff, verifyTopology } from '../../topology/declarer.ts';
import { type Names, namesFor } from '../../topology/names.ts';
import { planTopology, type Topology } from '../../topology/plan.ts';
import { amqpUrl } from '../support/broker.ts';
import { type TestNamespace, testNamespace } from '../support/namespace.ts';
import { type Permissions, type RabbitUser, rabbitUser } from '../support/user.ts';

const broker: Broker = createRabbitBroker({ urls: [amqpUrl()] });
let space: TestNamespace;
let names: Names;
let plan: Topology;
let user: RabbitUser;
let limited: Broker;

beforeAll(() => broker.connect({ timeout: 30_000, roles: ['consuming'] }));
afterAll(() => broker.close(1_000));

beforeEach(async () => {
  space = testNamespace();
  names = namesFor(space.name);
  plan = planTopology({ names, queues: [{ name: 'mail' }], delays: [300] });
  user = await rabbitUser(space.name);
  limited = createRabbitBroker({ urls: [user.url] });
});

afterEach(async () => {
  await limited.close(1_000);
  await user.remove();
  await space.remove();
});

const NOTHING: Permissions = { configure: '^$', write: '^$', read: '^$' };

async function allowed(permissions: Partial<Permissions>): Promise<Broker> {
  await user.may({ ...NOTHING, ...permissions });
  return limited;
}

const statesOf = ({ differences }: TopologyDiff) => [...new Set(differences.map(({ state }) => state))];

describe.each<[string, Partial<Permissions>]>([
  ['read only', { read: '.*' }],
  ['read and write', { read: '.*', write: '.*' }],
  // 4.3 does not even let such a user look whether a queue is there; 3.10 does.
  ['nothing', {}],
])('a user who may %s', (_, permissions) => {
  it('sees that all is there, but cannot compare it', async () => {
    await applyTopology(broker, plan);
    const diff = await diffTopology(await allowed(permissions), plan);
    expect(statesOf(diff)).toEqual(['forbidden']);
    expect(diff.differences).toHaveLength(plan.exchanges.length + plan.queues.length);
  });

  it('starts with verify', async () => {
    await applyTopology(broker, plan);
    await expect(verifyTopology(await allowed(permissions), plan)).resolves.toMatchObject({ fine: [] });
  });

  it('cannot apply, and is told why', async () => {
    await applyTopology(broker, plan);
    const refusal = applyTopology(await allowed(permissions), plan);
    await expect(refusal).rejects.toBeInstanceOf(TopologyMismatchError);
    await expect(refusal).rejects.toThrow(
      `queue ${names.queue('mail')} could not be compared: this user has no permission to configure it (ACCESS_REFUSED - `,
    );
  });
});

describe('a user who may read only', () => {
  it('sees what is missing, and cannot create it', async () => {
    const reader = await allowed({ read: '.*' });
    expect(statesOf(await diffTopology(reader, plan))).toEqual(['missing']);
    await expect(verifyTopology(reader, plan)).rejects.toThrow('does not exist');
    await expect(applyTopology(reader, plan)).rejects.toThrow(
      `exchange ${names.jobs} could not be created: this user lacks a permission (ACCESS_REFUSED - `,
    );
  });
});

describe('a user who may configure only', () => {
  it('can compare, though not bind', async () => {
    await applyTopology(broker, plan);
    const configurer = await allowed({ configure: '.*' });
    expect((await diffTopology(configurer, plan)).differences).toEqual([]);
    await expect(applyTopology(configurer, plan)).rejects.toThrow(
      'could not be bound: this user lacks the permission to write',
    );
  });
});

describe('a user of this namespace alone', () => {
  it('can apply, and everything again', async () => {
    const own = `^${space.name}\\..*`;
    const tenant = await allowed({ configure: own, write: own, read: own });
    expect((await applyTopology(tenant, plan)).created).toHaveLength(
      plan.exchanges.length + plan.queues.length,
    );
    expect((await applyTopology(tenant, plan)).created).toEqual([]);
  });
});
