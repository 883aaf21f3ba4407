/** Faults of single nodes of a cluster of three. */
import { setTimeout as hold } from 'node:timers/promises';
import { untilNewQueuesSurvive } from '../../support/broker.ts';
import { until } from '../../support/until.ts';
import type { Scenario } from '../scenario.ts';
import type { Stage } from '../stage.ts';

/** All three copies of the work queue can be reached: the next node may go. */
async function untilWhole({ operator, ground }: Stage): Promise<void> {
  await until(async () => (await operator.online('faults')) === ground.nodes.length, {
    within: 60_000,
    every: 500,
    what: 'the work queue to have all its copies',
  });
}

export const clusterRows: readonly Scenario[] = [
  {
    name: 'leader-killed',
    what: 'cluster: the node that leads the work queue, SIGKILL; it stays away',
    needs: 'cluster',
    twice: 'lost connection',
    strike: async (stage) => {
      await untilNewQueuesSurvive(...stage.ground.nodes);
      await (await stage.operator.leader('faults')).kill();
    },
    after: async (stage) => {
      for (const node of stage.ground.nodes) await node.start();
      await untilWhole(stage);
    },
  },
  {
    name: 'minority-left',
    what: 'cluster: two of three nodes, SIGKILL; both come back after 15 s',
    needs: 'cluster',
    twice: 'lost connection',
    strike: async ({ ground }) => {
      await untilNewQueuesSurvive(...ground.nodes);
      await Promise.all(ground.nodes.slice(1).map((node) => node.kill()));
      await hold(15_000);
    },
    mend: async ({ ground }) => void (await Promise.all(ground.nodes.map((node) => node.start()))),
    after: untilWhole,
  },
  {
    name: 'rolling-restart',
    what: 'cluster: every node stopped and started, one after the other',
    needs: 'cluster',
    twice: 'lost connection',
    strike: async (stage) => {
      for (const node of stage.ground.nodes) {
        await node.stop();
        await node.start();
        await untilWhole(stage);
      }
    },
  },
];
