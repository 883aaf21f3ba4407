/** Promise 7 for jobs that wait for a child to run in: a stop gives them back as they came. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createRabbitBroker } from '../../src/broker/rabbitmq.ts';
import { jobProperties } from '../../src/core/envelope.ts';
import { queueHealth, startWorker } from '../stories/support.ts';
import { amqpUrl } from '../support/broker.ts';
import { type Found, postOffice } from '../support/letters.ts';
import { testNamespace } from '../support/namespace.ts';
import { until } from '../support/until.ts';

const space = testNamespace();
const broker = createRabbitBroker({ urls: [amqpUrl()] });
const { names, contents } = postOffice(broker, space.name);

beforeAll(() => broker.connect({ timeout: 30_000 }));
afterAll(async () => {
  await broker.close(1_000);
  await space.remove();
});

/** `crashes`: a mark makes a suspect of it. */
async function publish(name: string, queue: string, id: string, crashes?: number): Promise<void> {
  const properties = jobProperties({ id, name, now: Date.now() });
  if (crashes !== undefined) properties.headers['warren-crashes'] = crashes;
  const routingKey = names.queue(queue);
  await broker.publish({ exchange: names.jobs, routingKey, body: Buffer.from('{}'), properties });
}

const ids = (name: string) => Array.from({ length: 8 }, (_, n) => `${name}-${n}`);

/** Nothing is on it that was not on it before. */
const untouched = (found: Found[]) =>
  found.map(({ id, properties }) => [
    id,
    properties.headers['warren-attempt'] ?? 1,
    properties.headers['warren-crashes'] ?? 0,
    properties.headers['warren-error'],
  ]);

it('all of them, at once, with no attempt spent and no mark made; the worker exits 0', async () => {
  const queues = ['late:3', 'suspects:5'];
  const env = { WARREN_LOG_LEVEL: 'debug' };
  const where = { url: amqpUrl(), namespace: space.name, folder: 'test/fixtures/late', env };
  await using worker = await startWorker({ ...where, queues, grace: '2m' });
  for (const id of ids('late')) await publish('Late', 'late', id);
  for (const id of ids('suspect')) await publish('Suspect', 'suspects', id, 1);

  const running = async (queue: string) => (await queueHealth(worker.url, queue)).running ?? 0;
  await until(async () => (await running('late')) === 3 && (await running('suspects')) >= 2, {
    what: 'jobs that wait for their children, and others behind them',
  });
  const asked = performance.now();
  worker.process.kill('SIGTERM');
  expect(await worker.process.ended()).toEqual({ code: 0, signal: null });
  // Not what is left of the grace period.
  expect(performance.now() - asked).toBeLessThan(40_000);

  const late = ids('late').map((id) => [id, 1, 0, undefined]);
  const suspects = ids('suspect').map((id) => [id, 1, 1, undefined]);
  const all = async (queue: string) => {
    const found = await contents(queue);
    return found.length >= 8 ? found : undefined;
  };
  expect(untouched(await until(() => all('late'), { what: 'all in late' })).sort()).toEqual(late);
  expect(untouched(await until(() => all('suspects'), { what: 'all suspects' })).sort()).toEqual(suspects);
  expect(await contents('late.dead')).toEqual([]);
  const told = worker.process.lines.join('\n');
  for (const line of ['attempt started', 'took its process down', 'a child for isolated jobs failed'])
    expect(told).not.toContain(line);
});
