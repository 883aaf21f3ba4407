import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { Connection } from '../../src/broker/connection.ts';
import { parseServer } from '../../src/broker/server.ts';
import { freePort } from '../support/port.ts';
import { until } from '../support/until.ts';
import { holdTime, pass, releaseTime } from './time.ts';

beforeEach(holdTime);
afterEach(releaseTime);

it('many who wait for it leave a pause between two tries all the same', async () => {
  let lot = 0;
  const drawn: number[] = [];
  let failures = 0;
  const connection = new Connection({
    ...{ role: 'publishing', servers: [parseServer(`amqp://127.0.0.1:${await freePort()}`)], heartbeat: 10 },
    ...{ name: 'test', connectTimeoutMs: 5000 },
    random: () => {
      drawn.push(lot);
      return lot;
    },
    emit: (event) => {
      if (event === 'disconnected') failures += 1;
    },
  });
  /** The tries are real ones; what passes between two of them does so here, ms by ms. */
  const whileItPasses = (condition: () => boolean, what: string) =>
    until(
      async () => {
        await pass(1);
        return condition();
      },
      { what, every: 1 },
    );
  try {
    connection.open();
    await whileItPasses(() => failures >= 10, 'ten tries without a pause');
    // The next pause takes ten seconds.
    lot = 1;
    await whileItPasses(() => drawn.includes(1), 'the pause');
    const before = failures;
    for (const draw of [0.9, 0, 0, 0]) {
      lot = draw;
      connection.hurry();
      await pass(50);
    }
    lot = 1;
    await pass(690);
    // Neither over, nor on its way to its end.
    const tries = drawn.length;
    expect([failures, drawn.at(-1)]).toEqual([before, 0.9]);
    await pass(20);
    await until(() => failures > before, { what: 'the try that was hurried' });
    await whileItPasses(() => drawn.length > tries, 'the pause after it');
    expect(failures).toBe(before + 1);
  } finally {
    const closing = connection.close(100);
    await pass(1_000);
    await closing;
  }
});
