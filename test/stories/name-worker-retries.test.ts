/** Story 1: the name worker fails twice, and the broker holds its waits. */
import { expect, it } from '@jest/globals';
import { canStartBrokers, NO_BROKERS } from '../support/broker.ts';
import { describeWhere } from '../support/tools.ts';
import { until } from '../support/until.ts';
import { nameWorkerStory, success, untilNoJobIsLeft, visit } from './name-worker.ts';
import { ready } from './support.ts';

describeWhere(await canStartBrokers(), NO_BROKERS)('the name worker', () => {
  const story = nameWorkerStory();

  it('waits in delayed-3s, then in delayed-30s, and succeeds at attempt 3, however often the worker dies', async () => {
    await using first = await story.worker();
    await using front = await story.page();
    const id = await visit(front, 'name=bar&fail=2');

    const seen = (queue: string) =>
      until(async () => (await ready(story.broker.url, queue)) === 1, { what: `one message in ${queue}` });
    await seen('delayed-3s');
    await seen('delayed-30s');
    first.process.kill('SIGKILL'); // the broker holds the wait, not the worker
    const asked = Date.now();

    await using second = await story.worker();
    await second.process.waitForLine('success: hello bar', { within: 60_000 });
    expect(success(second, 'bar')).toMatchObject({ id, attempt: 3 });
    expect(Date.now() - asked).toBeGreaterThan(30_000);
    await untilNoJobIsLeft(story.broker);
  }, 120_000);
});
