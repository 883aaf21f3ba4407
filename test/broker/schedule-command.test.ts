/** `warren schedule` and the leader in /healthz, against a real broker, as operators see them. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Health } from '../../src/health.ts';
import { amqpUrl } from '../support/broker.ts';
import { testNamespace } from '../support/namespace.ts';
import { type RunningProcess, spawnWarren } from '../support/process.ts';
import { type Project, userProject } from '../support/project.ts';
import { until } from '../support/until.ts';
import { warren as runWarren } from '../support/warren.ts';

const WORKERS = {
  'workers/report.mjs': `
    import { Job } from 'warren'
    export class Report extends Job {
      static queue = 'reports'
      static cron = [
        { name: 'often', expression: '* * * * * *', payload: 'often' },
        { name: 'nightly', expression: '30 3 * * *', timeZone: 'Europe/Berlin', payload: 'nightly' },
      ]
      perform(payload, { id }) {
        console.log('ran', payload, id)
      }
    }`,
};

const space = testNamespace();
const env = { AMQP_URL: amqpUrl(), WARREN_NAMESPACE: space.name };
let project: Project;
let worker: RunningProcess | undefined;

const warren = (...args: string[]) => runWarren(args, { ...env, WARREN_HTTP: 'off' }, project.folder);

beforeAll(async () => {
  project = await userProject(WORKERS);
});

afterAll(async () => {
  await worker?.[Symbol.asyncDispose]();
  await space.remove();
  await project[Symbol.asyncDispose]();
});

async function startWorker(): Promise<{ worker: RunningProcess; health(): Promise<Health> }> {
  worker = spawnWarren(['work', '--port', '0'], { env, cwd: project.folder });
  const line = await worker.waitForLine('"port":');
  const { port } = JSON.parse(line) as { port: number };
  const health = async () => (await fetch(`http://127.0.0.1:${port}/healthz`)).json() as Promise<Health>;
  return { worker, health };
}

it('lists what is in the code before anybody led it, then what was run, and who leads', async () => {
  const before = (await warren('schedule', 'list', '--json')).json();
  expect(before).toEqual({
    leader: null,
    schedules: [
      expect.objectContaining({ name: 'Report#often', words: 'Every second', last: null, missed: null }),
      expect.objectContaining({
        name: 'Report#nightly',
        job: 'Report',
        queue: 'reports',
        expression: '30 3 * * *',
        words: 'At 03:30',
        timeZone: 'Europe/Berlin',
        policy: 'once',
      }),
    ],
  });
  expect(before.schedules[1].next).toHaveLength(3);
  for (const next of before.schedules[1].next) expect(next).toMatch(/T0[12]:30:00\.000Z$/);

  const started = await startWorker();
  await started.worker.waitForLine(/^ran often cron:Report#often:\d{4}-/);
  // Whoever looks while others do, or while the broker is slow to count, sees no leader.
  const { pid } = started.worker.child;
  const led = async () => {
    const { schedules } = await started.health();
    return schedules?.leader && schedules;
  };
  expect(await until(led, { what: 'a leader' })).toMatchObject({ leading: true, leader: { pid } });

  const after = await until(
    async () => {
      const list = (await warren('schedule', 'list', '--json')).json();
      return list.leader && list.schedules[0].last ? list : undefined;
    },
    { what: 'a leader and a last run in the list' },
  );
  expect(after.leader).toMatchObject({ pid, since: expect.stringMatching(/Z$/) });
  expect(after.schedules[0].missed).toBe(0);
  await until(async () => (await warren('status')).stdout.includes(`schedules led by: ${pid} on `), {
    what: 'the leader in the status',
  });
});

it('runs one now, with its payload and an id of its own; an unknown name is told which there are', async () => {
  const { code, json } = await warren('schedule', 'run', 'Report#nightly', '--json');
  expect(code).toBe(0);
  expect(json()).toMatchObject({ queue: 'reports', id: expect.stringMatching(/^cron:Report#nightly:/) });
  await worker?.waitForLine(`ran nightly ${json().id}`);

  const unknown = await warren('schedule', 'run', 'Nightly');
  expect(unknown.code).toBe(2);
  expect(unknown.stderr).toContain("there is no schedule 'Nightly'; there are Report#often, Report#nightly");
});

it('names no leader once the worker has stopped', async () => {
  worker?.kill('SIGTERM');
  await worker?.ended();
  // Its consumer goes a moment after it.
  const list = await until(
    async () => {
      const { leader, schedules } = (await warren('schedule', 'list', '--json')).json();
      return leader === null && schedules[0].last !== null ? { leader, schedules } : undefined;
    },
    { what: 'a list without a leader' },
  );
  expect(list.schedules[0].last).toMatch(/Z$/);
  expect((await warren('status')).stdout).toContain('schedules led by: nobody');
});

it('says in plain words that an expression cannot be', async () => {
  await using broken = await userProject({
    'workers/report.mjs': WORKERS['workers/report.mjs'].replace('30 3 * * *', '61 3 * * *'),
  });
  const { code, stderr } = await runWarren(
    ['schedule', 'list'],
    { ...env, WARREN_HTTP: 'off' },
    broken.folder,
  );
  expect(code).toBe(78);
  expect(stderr).toContain('61 3 * * *');
  expect(stderr).toContain('Report');
});
