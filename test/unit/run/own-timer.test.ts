import { afterEach, expect, it } from '@jest/globals';
import { OwnTimer } from '../../../src/run/own-timer.ts';
import { until } from '../../support/until.ts';
import { holdTime, pass, releaseTime } from '../time.ts';

afterEach(releaseTime);

/** What SIGSTOP does to a process, as far as its timers can see. */
function pauseProcess(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

const timer = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

it('calls once, when its time is over', async () => {
  holdTime();
  let calls = 0;
  new OwnTimer(50, () => calls++);
  await pass(49);
  expect(calls).toBe(0);
  await pass(1);
  expect(calls).toBe(1);
  await pass(1_000);
  expect(calls).toBe(1);
});

it('waits again for what a pause of its process took', async () => {
  const order: string[] = [];
  new OwnTimer(300, () => order.push('called'));
  pauseProcess(1500);
  // Timers fire in the order in which they fall due, however late: what began no sooner than this and takes longer is behind.
  void timer(299).then(() => order.push('299 ms'));
  await until(() => order.length === 2, { every: 5 });
  expect(order).toEqual(['299 ms', 'called']);
});

it('is not called after it was cleared, paused or not', async () => {
  let calls = 0;
  const cleared = new OwnTimer(20, () => calls++);
  pauseProcess(1100);
  await timer(1);
  cleared.clear();
  const other = new OwnTimer(60, () => (calls += 10));
  await until(() => calls > 0, { every: 5 });
  other.clear();
  expect(calls).toBe(10);
});
