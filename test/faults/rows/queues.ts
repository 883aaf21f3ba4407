/** Faults of single queues and exchanges. */
import { setTimeout as hold } from 'node:timers/promises';
import { until } from '../../support/until.ts';
import type { Scenario } from '../scenario.ts';
import { CONCURRENCY, type Stage } from '../stage.ts';

/** Deletes a queue at a moment when something is in it. */
async function deleteFull(stage: Stage, queue: string): Promise<void> {
  const { operator, deletions, crew } = stage;
  await until(async () => (await operator.ready(queue)) > 0, { what: `messages in ${queue}` });
  const { at, messages } = await operator.deleteQueue(queue);
  // 0 is what RabbitMQ says when the queue's leader does not answer within 250 ms.
  const told = messages > 0 ? messages : stage.unfinished();
  // What the broker tells leaves out what workers held.
  deletions.push({ at, messages: told + crew.working.length * CONCURRENCY });
}

/** More than the workers can do, so that the queue is never empty. */
const backlog = { rate: 120, ms: [150, 700] } as Scenario['load'] & object;

export const queueRows: readonly Scenario[] = [
  {
    name: 'queue-deleted',
    what: 'operator: deletes the work queue',
    load: backlog,
    strike: (stage) => deleteFull(stage, 'faults'),
  },
  {
    name: 'delay-queue-deleted',
    what: 'operator: deletes the delay queue',
    strike: (stage) => deleteFull(stage, 'delayed-1s'),
  },
  {
    name: 'queue-full',
    what: 'operator: limits the work queue to 50 messages for 8 s',
    load: backlog,
    // What a full queue refused when its delay was over is offered again every 180 s, by RabbitMQ.
    slow: true,
    drainMs: 400_000,
    strike: async ({ operator }) => {
      await operator.setPolicy('faults', { 'max-length': 50 });
      await hold(8000);
    },
    // Taking the policy away would leave a 3.10 queue that refuses for good: only a new limit is looked at.
    mend: ({ operator }) => operator.setPolicy('faults', { 'max-length': 1_000_000 }),
  },
  {
    name: 'exchange-deleted',
    what: 'channel error: the exchanges of retries and enqueues are deleted',
    strike: async ({ operator, load }) => {
      await operator.deleteExchange('delayed-1s');
      await hold(2000);
      const before = load.refused.length;
      await operator.deleteExchange('jobs');
      await until(() => load.refused.length > before, { what: 'an enqueue to be refused' });
    },
    mend: (stage) => stage.applyTopology(),
  },
];
