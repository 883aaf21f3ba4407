/** Two copies of one job, as a lost confirm makes them, that both come back while the first of them runs. */
import { expect, it } from '@jest/globals';
import { Job } from '../../../src/job.ts';
import { createRuntime } from '../../../src/runtime.ts';
import { createTestServer } from '../../../src/testing.ts';
import { until } from '../../support/until.ts';

let begun = 0;
let end: () => void = () => {};

class Held extends Job {
  static override queue = 'held';
  async perform() {
    begun++;
    await new Promise<void>((resolve) => {
      end = resolve;
    });
  }
}

it('the second is settled at once, and not run beside the first or after it', async () => {
  const server = createTestServer({ jobs: [Held] });
  const [sender, broker] = [server.broker(), server.broker()];
  await sender.connect({ timeout: 30_000 });
  const queues = { held: { concurrency: 1, prefetch: 2 } };
  const runtime = createRuntime({
    broker,
    jobs: [Held],
    queues,
    http: false,
    signals: false,
    logger: false,
  });
  let returned = 0;
  runtime.on('delivery.redelivered', () => void returned++);
  const ended = runtime.run();
  const properties = {
    messageId: 'twice',
    type: 'Held',
    headers: { 'warren-enqueued-at': 1_790_000_000_000 },
  };
  const copy = { exchange: 'jobs', routingKey: 'held', body: Buffer.from('null'), properties };
  await sender.publish(copy);
  await sender.publish(copy);
  const isHeld = () => server.contents('held').filter(({ state }) => state === 'unacked').length === 2;
  await until(() => begun === 1 && isHeld(), { what: 'one that runs and one that waits' });

  broker.disconnect('consuming');
  broker.reconnect('consuming');
  await until(() => returned === 2, { what: 'both to come back' });
  await until(() => server.contents('held').length === 1, { what: 'the second to be acked' });
  end();
  await until(() => server.contents('held').length === 0, { what: 'the first to be acked' });
  expect(begun).toBe(1);

  await runtime.stop();
  await ended;
  await sender.close(0);
});
