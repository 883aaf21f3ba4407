import { expect, it } from '@jest/globals';
import { OwnTimer } from '../../../src/run/own-timer.ts';
import { until } from '../../support/until.ts';

/** What SIGSTOP does to a process, as far as its timers can see. */
function pauseProcess(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

const aTurn = () => new Promise((resolve) => setTimeout(resolve, 1));

it('calls once, when its time is over', async () => {
  let calls = 0;
  const began = performance.now();
  new OwnTimer(50, () => calls++);
  await until(() => calls > 0, { every: 1 });
  expect(performance.now() - began).toBeGreaterThanOrEqual(49);
  await aTurn();
  expect(calls).toBe(1);
});

it('waits again for what a pause of its process took', async () => {
  let calledAt = 0;
  new OwnTimer(300, () => (calledAt = performance.now()));
  pauseProcess(1500);
  const continued = performance.now();
  for (let turn = 0; turn < 5; turn++) await aTurn();
  expect(calledAt).toBe(0);
  await until(() => calledAt > 0, { every: 5 });
  expect(calledAt - continued).toBeGreaterThanOrEqual(299);
});

it('is not called after it was cleared, paused or not', async () => {
  let calls = 0;
  const timer = new OwnTimer(20, () => calls++);
  pauseProcess(1100);
  await aTurn();
  timer.clear();
  const other = new OwnTimer(60, () => (calls += 10));
  await until(() => calls > 0, { every: 5 });
  other.clear();
  expect(calls).toBe(10);
});
