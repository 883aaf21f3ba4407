import { expect, it } from '@jest/globals';
import { Connection } from '../../src/broker/connection.ts';
import { parseServer } from '../../src/broker/server.ts';
import { freePort } from '../support/port.ts';
import { until } from '../support/until.ts';

const pass = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

it('many who wait for it leave a pause between two tries all the same', async () => {
  let lot = 0;
  let failures = 0;
  const connection = new Connection({
    ...{ role: 'publishing', servers: [parseServer(`amqp://127.0.0.1:${await freePort()}`)], heartbeat: 10 },
    ...{ name: 'test', connectTimeoutMs: 5000, random: () => lot },
    emit: (event) => {
      if (event === 'disconnected') failures += 1;
    },
  });
  try {
    connection.open();
    await until(() => failures >= 10, { within: 10_000, what: 'ten tries without a pause' });
    // The next pause takes ten seconds.
    lot = 1;
    await pass(100);
    const before = failures;
    for (const draw of [0.9, 0, 0, 0]) {
      lot = draw;
      connection.hurry();
      await pass(50);
    }
    expect(failures).toBe(before);
    lot = 1;
    await until(() => failures > before, { within: 2000, what: 'the try that was hurried' });
  } finally {
    await connection.close(100);
  }
});
