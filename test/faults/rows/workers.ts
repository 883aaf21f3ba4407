/** Faults of worker processes. */
import { setTimeout as hold } from 'node:timers/promises';
import type { Program } from '../../stories/support.ts';
import { spawnNode } from '../../support/process.ts';
import { until } from '../../support/until.ts';
import { drained, forced, killed } from '../crew.ts';
import type { Scenario } from '../scenario.ts';
import type { Stage } from '../stage.ts';

function oneOf({ crew }: Stage): Program {
  const [first] = crew.working;
  if (!first) throw new Error('no worker is left');
  return first;
}

export const workerRows: readonly Scenario[] = [
  {
    name: 'worker-sigkill',
    what: 'worker: SIGKILL, another is started',
    twice: 'crash',
    strike: async (stage) => stage.crew.end(oneOf(stage), 'SIGKILL', killed),
    mend: ({ crew }) => crew.start(),
  },
  {
    name: 'worker-sigstop',
    what: 'worker: SIGSTOP for 22 s, then continued',
    twice: 'lost connection',
    strike: async (stage) => {
      const worker = oneOf(stage);
      stage.crew.signal(worker, 'SIGSTOP');
      await hold(22_000);
      stage.crew.signal(worker, 'SIGCONT');
    },
  },
  {
    name: 'worker-sigterm',
    what: 'worker: SIGTERM under load, another is started',
    strike: async (stage) => {
      const worker = oneOf(stage);
      stage.crew.end(worker, 'SIGTERM', drained);
      await worker.process.ended();
    },
    mend: ({ crew }) => crew.start(),
  },
  {
    name: 'worker-sigterm-twice',
    what: 'worker: SIGTERM twice under load, another is started',
    twice: 'forced stop',
    // Long enough that the second signal finds some of them.
    load: { ms: [300, 3000], rate: 25, burst: 60 },
    strike: async (stage) => {
      const worker = oneOf(stage);
      stage.crew.end(worker, 'SIGTERM', forced);
      await until(async () => (await fetch(`${worker.url}/readyz`)).status === 503, { what: 'it to drain' });
      stage.crew.end(worker, 'SIGTERM', forced);
      await worker.process.ended();
    },
    mend: ({ crew }) => crew.start(),
  },
  {
    name: 'retry-not-acked',
    what: 'worker: killed between the confirm of a retry and the ack of its original',
    twice: 'crash',
    strike: async ({ crew, env }) => {
      const worker = spawnNode(['test/faults/failpoint-worker.js'], { env });
      await crew.untilItKillsItself(worker);
    },
  },
];
