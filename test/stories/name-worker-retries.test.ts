/** Story 1: the name worker fails twice, and the broker holds its waits. */
import { expect, it } from '@jest/globals';
import { amqpUrl, managementUrl } from '../support/broker.ts';
import { management } from '../support/management.ts';
import { testNamespace } from '../support/namespace.ts';
import { until } from '../support/until.ts';
import { nameWorkerStory, success, visit } from './name-worker.ts';
import { ready } from './support.ts';

it('waits in delayed-3s, then in delayed-30s, and succeeds at attempt 3, however often the worker dies', async () => {
  await using space = testNamespace();
  const where = { url: amqpUrl(), managementUrl: managementUrl(), namespace: space.name };
  const story = await nameWorkerStory(where);
  await using first = await story.worker();
  await using front = await story.page();
  const id = await visit(front, 'name=bar&fail=2');

  // What the broker has counted of the first wait, which is soon over; the second can be seen.
  await until(async () => (await published(space.of('delayed-3s'))) === 1, {
    what: 'one message in delayed-3s',
  });
  await until(async () => (await ready(where.url, space.of('delayed-30s'))) === 1, {
    what: 'one message in delayed-30s',
  });
  first.process.kill('SIGKILL'); // the broker holds the wait, not the worker
  await first.process.ended();

  await using second = await story.worker();
  const begun = await second.process.waitForLine('working for bar', { within: 90_000 });
  await second.process.waitForLine('success: hello bar', { within: 60_000 });
  expect(success(second, 'bar')).toMatchObject({ id, attempt: 3 });
  const failed = await first.process.waitForLine(/"attempt":2,.*"msg":"attempt failed"/);
  expect(timeOf(begun) - timeOf(failed)).toBeGreaterThanOrEqual(30_000);
  await story.untilNoJobIsLeft();
}, 300_000);

/** Into this queue, since it was declared. RabbitMQ tells it some seconds later. */
async function published(queue: string): Promise<number> {
  return (await management().get<Told>(`/queues/%2F/${queue}`)).message_stats?.publish ?? 0;
}

interface Told {
  message_stats?: { publish?: number };
}

const timeOf = (line: string) => Date.parse((JSON.parse(line) as { time: string }).time);
