/** Deploys, and faults of workers that are processes under a supervisor. */
import type { Program } from '../../stories/support.ts';
import { until } from '../../support/until.ts';
import { drained, killed } from '../crew.ts';
import type { Scenario } from '../scenario.ts';
import { FULL, type Stage } from '../stage.ts';

/** Each of the two workers half as often. */
const RESTARTS = { full: 50, quick: 6 };
/** What the crew's workers have, and some time for a busy machine to notice their end. */
const GRACE_MS = 30_000 + 15_000;
const SUPERVISED = { workers: 2, consumersEach: 2, env: { WARREN_PROCESSES: '2' } };

function oldest({ crew }: Stage): Program {
  const [first] = crew.working;
  if (!first) throw new Error('no worker is left');
  return first;
}

/** The next version takes over before the old one goes, as an orchestrator does it with `maxSurge: 1`. */
async function replaceOldest(stage: Stage): Promise<void> {
  const old = oldest(stage);
  await stage.crew.start();
  stage.crew.end(old, 'SIGTERM', drained);
  await old.process.ended({ within: GRACE_MS });
}

async function firstChild({ url }: Program): Promise<number> {
  const { processes } = (await (await fetch(`${url}/healthz`)).json()) as { processes: { pid: number }[] };
  const [first] = processes;
  if (!first) throw new Error(`${url} has no worker processes`);
  return first.pid;
}

export const processRows: readonly Scenario[] = [
  {
    name: 'rolling-deploy',
    what: `deploy: ${RESTARTS.full} restarts of two workers, one after the other`,
    slow: true,
    load: { rate: 40 },
    strike: async (stage) => {
      const restarts = stage.size === FULL ? RESTARTS.full : RESTARTS.quick;
      for (let done = 0; done < restarts; done += 1) await replaceOldest(stage);
    },
  },
  {
    ...SUPERVISED,
    name: 'supervisor-sigterm',
    what: 'supervisor of two: SIGTERM under load, another is started',
    strike: replaceOldest,
  },
  {
    ...SUPERVISED,
    name: 'supervisor-sigkill',
    what: 'supervisor of two: SIGKILL, its workers drain and end, another is started',
    strike: async (stage) => {
      const supervisor = oldest(stage);
      stage.crew.end(supervisor, 'SIGKILL', killed);
      // Its pipes are those of its workers: it is their end, too.
      await supervisor.process.ended({ within: GRACE_MS });
    },
    mend: ({ crew }) => crew.start(),
  },
  {
    ...SUPERVISED,
    name: 'supervised-sigkill',
    what: 'one worker of a supervisor: SIGKILL, the supervisor starts it again',
    twice: 'crash',
    strike: async (stage) => {
      const supervisor = oldest(stage);
      const victim = await firstChild(supervisor);
      stage.crew.killed.add(victim);
      process.kill(victim, 'SIGKILL');
      await until(async () => (await fetch(`${supervisor.url}/readyz`)).status === 503, {
        what: 'the supervisor to miss it',
        every: 5,
      });
    },
  },
];
