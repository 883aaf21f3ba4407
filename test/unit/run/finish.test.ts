import { afterEach, beforeEach, expect, it } from '@jest/globals';
import type { Delivery } from '../../../src/broker/broker.ts';
import { type AttemptInfo, EventBus } from '../../../src/core/events.ts';
import { Finish } from '../../../src/run/finish.ts';
import { KnownRuns } from '../../../src/run/known-runs.ts';
import type { Run } from '../../../src/run/run.ts';
import type { Settler, Unsettled } from '../../../src/run/settle.ts';
import { holdTime, pass, releaseTime } from '../time.ts';

beforeEach(holdTime);
afterEach(releaseTime);

/** Both notice the end of the grace period by timers of their own, so either may be the first. */
it.each(['the settler', 'the drain'])(
  'a run that is cut short is released once, noticed first by %s',
  async (first) => {
    const bus = new EventBus();
    const known = { owe: () => {} } as unknown as KnownRuns;
    let end = (_moved: boolean) => {};
    const settler = {
      settle: () => new Promise<boolean>((resolve) => (end = resolve)),
      gaveUp: true,
    } as unknown as Settler;
    const finish = new Finish({ queue: 'mail', bus, settler, known, attached: () => true });
    const policy = { attempts: 3, delays: [1000], wait: () => 1000, isFinal: () => false };
    const run = {
      ...{ id: 'one', begun: true, durationMs: 1, headers: { attempt: 1 } },
      registration: { name: 'Mail', policy },
    } as unknown as Run;
    const settled = finish.ended(run, { kind: 'threw', error: new Error('no') });
    if (first === 'the drain') finish.cutShort(run);
    end(false);
    await settled;
    if (first === 'the settler') finish.cutShort(run);
    expect(finish.released).toBe(1);
  },
);

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
