/** Story 1: the name worker, whoever is killed. Its back-off: name-worker-retries.test.ts. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import {
  canStartBrokers,
  NO_BROKERS,
  type PrivateBroker,
  startPrivateBroker,
  untilNewQueuesSurvive,
} from '../support/broker.ts';
import { describeWhere } from '../support/tools.ts';
import { type NameWorkerStory, nameWorkerStory, success, tryAgain, visit } from './name-worker.ts';

describeWhere(await canStartBrokers(), NO_BROKERS)('the name worker', () => {
  let broker: PrivateBroker;
  let story: NameWorkerStory;

  beforeAll(async () => {
    broker = await startPrivateBroker();
    story = await nameWorkerStory({ ...broker, namespace: '' });
  }, 240_000);
  afterAll(() => broker?.remove());

  it('finishes although worker, page and broker are killed while it runs', async () => {
    await using firstWorker = await story.worker();
    await using firstPage = await story.page();
    await untilNewQueuesSurvive(broker);
    const id = await visit(firstPage, 'name=foo');
    await firstWorker.process.waitForLine('working for foo');

    firstWorker.process.kill('SIGKILL');
    firstPage.process.kill('SIGKILL');
    await broker.kill();
    await firstWorker.process.ended();
    await firstPage.process.ended();
    expect(success(firstWorker, 'foo')).toBeUndefined();

    await broker.start();
    await using _page = await story.page();
    await using secondWorker = await story.worker();
    await secondWorker.process.waitForLine('success: hello foo', { within: 60_000 });

    // The killed run was no failed attempt.
    expect(success(secondWorker, 'foo')).toMatchObject({
      id,
      job: 'NameWorker',
      queue: 'default',
      attempt: 1,
    });
    await story.untilNoJobIsLeft();
  }, 300_000);

  it('says what is wrong while the broker is away, and keeps the id for the next try', async () => {
    await using front = await story.page();
    await broker.kill();
    const answer = await fetch(`${front.url}/?name=baz`);
    const text = await answer.text();
    expect(answer.status).toBe(503);
    expect(text).toContain('WARREN_DEADLINE');
    const query = new URLSearchParams(tryAgain(text)?.slice(1));

    await broker.start();
    await using back = await story.worker();
    expect(await visit(front, `${query}`)).toBe(query.get('id'));
    await back.process.waitForLine('success: hello baz', { within: 60_000 });
  }, 300_000);
});
