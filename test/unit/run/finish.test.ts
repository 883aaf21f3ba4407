import { afterEach, beforeEach, expect, it } from '@jest/globals';
import type { Delivery } from '../../../src/broker/broker.ts';
import { type AttemptInfo, EventBus } from '../../../src/core/events.ts';
import { Finish } from '../../../src/run/finish.ts';
import { KnownRuns } from '../../../src/run/known-runs.ts';
import type { Settler, Unsettled } from '../../../src/run/settle.ts';
import { holdTime, pass, releaseTime } from '../time.ts';

beforeEach(holdTime);
afterEach(releaseTime);

it('what cannot be settled for a reason nobody knows goes back, but not in a hot loop', async () => {
  const bus = new EventBus();
  const told: unknown[] = [];
  bus.on('settlement.failed', ({ error }) => void told.push(error));
  const known = new KnownRuns({
    ...{ queue: 'mail', bus, active: new Set(), held: 1 },
    now: () => 0,
    pay: () => {},
  });
  const broken = new TypeError('a fault of ours');
  const settler = { settle: () => Promise.reject(broken) } as unknown as Settler;
  const finish = new Finish({ queue: 'mail', bus, settler, known, attached: () => true });
  let released = 0;
  const delivery = { release: () => ++released } as unknown as Delivery;
  const settling = finish.settle({ id: 'one', delivery } as Unsettled, { kind: 'release' }, {
    id: 'one',
  } as AttemptInfo);
  await pass(999);
  expect([told, released]).toEqual([[broken], 0]);
  await pass(1);
  await settling;
  expect(released).toBe(1);
});
