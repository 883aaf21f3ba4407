/** `warren work --processes`: several worker processes that look like one from outside. */
import { rm, writeFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type Client, createClient } from 'warren';
import { alive } from '../support/alive.ts';
import { amqpUrl } from '../support/broker.ts';
import { allGone, Family, type FamilyOptions } from '../support/family.ts';
import { Ledger } from '../support/ledger.ts';
import { type TestNamespace, testNamespace } from '../support/namespace.ts';
import { until } from '../support/until.ts';
import { warren } from '../support/warren.ts';

// For each test its own: a job that wedges its worker comes back to the next one.
let namespace: TestNamespace;
let ledger: Ledger;
let client: Client;

beforeEach(async () => {
  namespace = testNamespace();
  ledger = new Ledger();
  client = await createClient({ url: amqpUrl(), namespace: namespace.name });
});
afterEach(async () => {
  await client.close();
  await namespace.remove();
  ledger.remove();
});

const start = (options: Partial<FamilyOptions> = {}) =>
  Family.start({ url: amqpUrl(), namespace: namespace.name, ledger: ledger.path, ...options });

async function enqueue(count: number, ms: number): Promise<string[]> {
  const kept = await Promise.all(
    Array.from({ length: count }, () => client.enqueue('FamilyJob', { ms }, { queue: 'family' })),
  );
  return kept.map(({ id }) => id);
}

const begun = (count: number) =>
  until(() => ledger.starts().length >= count, { what: `${count} begun jobs` });

/** All are done, each once and at its first attempt. */
function expectNothingSpent(accepted: string[]): void {
  expect(ledger.tally(accepted)).toMatchObject({ lost: [], startedAgain: [], doneAgain: [], unasked: [] });
  expect(ledger.starts().filter(({ attempt }) => attempt !== 1)).toEqual([]);
}

describe('several processes', () => {
  it('look like one: health, readiness and metrics of all together, also after one was killed', async () => {
    // Keeps the new one back, for whoever looks late.
    const hold = `${ledger.path}.hold`;
    await using family = await start({ processes: 3, env: { HOLD: hold } });
    const accepted = await enqueue(30, 20);
    await until(() => ledger.tally(accepted).lost.length === 0, { what: 'all jobs' });
    // What the broker counts is looked at now and then: the first look may have come before the last of the three.
    const well = async () => {
      const health = await family.health();
      return health.queues.family?.consumers === 3 && health.status === 'ok' ? health : undefined;
    };
    const { processes } = await until(well, { what: 'three consumers, and all well' });
    expect(processes).toEqual(
      Array(3).fill({ pid: expect.any(Number), status: 'ok', restarts: 0, uptime: expect.any(Number) }),
    );
    const done = 'warren_jobs_finished_total{job="FamilyJob",queue="family",outcome="succeeded"}';
    const numbers = async () => {
      const metric = await family.metrics();
      return {
        done: metric(done),
        consumers: metric('warren_queue_consumers{queue="family"}'),
        concurrency: metric('warren_concurrency{queue="family"}'),
        restarts: metric('warren_process_restarts_total'),
      };
    };
    const wanted = { done: 30, consumers: 3, concurrency: 15, restarts: 0 };
    await until(async () => isDeepStrictEqual(await numbers(), wanted), { what: JSON.stringify(wanted) });

    const victim = processes[1]?.pid as number;
    await writeFile(hold, '');
    process.kill(victim, 'SIGKILL');
    const red = async () => {
      const answer = await fetch(`${family.url}/readyz`);
      const { reasons = [] } = (await answer.json()) as { reasons?: string[] };
      return answer.status === 503 && reasons.length === 1 ? reasons : undefined;
    };
    expect(await until(red, { what: 'readiness to turn red' })).toEqual([expect.stringMatching(/^worker 2/)]);
    await rm(hold);
    expect(await family.parent.waitForLine('worker process died')).toContain('"signal":"SIGKILL"');
    await family.ready();
    expect((await family.health()).processes.map(({ restarts }) => restarts)).toEqual([0, 1, 0]);
    // A sum that fell would look to Prometheus like counters that began again.
    const sums = new Set<number>();
    const together = async () => {
      const { done, concurrency, restarts } = await numbers();
      sums.add(done);
      return concurrency === 15 && restarts === 1;
    };
    await until(together, { what: 'the new one to be counted' });
    expect([...sums]).toEqual([30]);
  });

  it('drain once when a terminal sends Ctrl-C to the whole group, and end with 0', async () => {
    await using family = await start();
    const accepted = await enqueue(8, 1000);
    await begun(8);
    family.signalGroup('SIGINT');
    expect(await family.parent.ended()).toEqual({ code: 0, signal: null });
    expectNothingSpent(accepted);
  });

  it('stop at once on the second signal, with its code, and leave nobody behind', async () => {
    // Whatever else might end it would come much later.
    await using family = await start({ grace: '5m' });
    const pids = await family.pids();
    await enqueue(4, 300_000);
    await begun(4);
    family.signalGroup('SIGINT');
    await family.parent.waitForLine('supervisor stops its workers');
    family.signalGroup('SIGINT');
    expect(await family.parent.ended()).toEqual({ code: 130, signal: null });
    await allGone(pids);
    expect(ledger.finishes()).toEqual([]);
  });

  it('get a new one in place of one that an operator ended, and lose nothing by it', async () => {
    await using family = await start();
    const [old = 0] = await family.pids();
    const accepted = await enqueue(10, 500);
    await begun(10);
    process.kill(old, 'SIGTERM');
    await until(() => !alive(old), { what: 'the end of the worker' });
    await family.ready();
    await until(() => ledger.tally(accepted).lost.length === 0, { what: 'all jobs' });
    expectNothingSpent(accepted);
    expect(await family.pids()).not.toContain(old);
  });

  it('end with their supervisor: who works finishes first, who is stuck is killed', async () => {
    await using family = await start({ grace: '10s' });
    const pids = await family.pids();
    await client.enqueue('Stuck', {}, { queue: 'family' });
    await begun(1);
    const accepted = await enqueue(1, 500);
    await begun(2);
    const [stuck = 0, working = 0] = ledger.starts().map(({ pid }) => pid);
    process.kill(family.parent.pid, 'SIGKILL');
    await allGone([working]);
    // Who is stuck has its grace period, and a second.
    expect(alive(stuck)).toBe(true);
    await allGone(pids);
    expect(ledger.tally(accepted).lost).toEqual([]);
  });
});

describe('a worker whose event loop does not turn any more', () => {
  const wedge = async () => {
    await client.enqueue('Stuck', {}, { queue: 'family' });
    await begun(1);
  };

  it('is killed within the grace period: exit code 3, and the log says so', async () => {
    await using family = await start({ grace: '1s' });
    await wedge();
    const asked = Date.now();
    family.parent.kill('SIGTERM');
    expect(await family.parent.ended()).toEqual({ code: 3, signal: null });
    // To the millisecond it is told by the supervisor's unit test.
    expect(Date.now() - asked).toBeGreaterThanOrEqual(900);
    expect(Date.now() - asked).toBeLessThan(15_000);
    await family.parent.waitForLine('did not end within the grace period');
  });

  it('is reported and killed after the stall timeout, and started again; the others go on', async () => {
    await using family = await start({ env: { WARREN_STALL_TIMEOUT: '15s' } });
    const pids = await family.pids();
    await wedge();
    const stuck = ledger.starts()[0]?.pid as number;
    const reasons = async () => (await family.health()).reasons?.join();
    await until(async () => (await reasons())?.includes(`(pid ${stuck}): does not answer`), {
      what: 'a silent worker',
    });
    await family.parent.waitForLine(new RegExp(`"level":"error".*"workerPid":${stuck},.*is stuck`));
    expect(pids.filter((pid) => pid !== stuck).every(alive)).toBe(true);
    await family.parent.waitForLine(
      new RegExp(`"signal":"SIGKILL".*"workerPid":${stuck},.*worker process died`),
    );
    await allGone([stuck]);
  });
});

describe('a worker that cannot start', () => {
  const work = (...flags: string[]) =>
    warren(['work', '--processes', '2', ...flags], { AMQP_URL: amqpUrl() });

  it('whose supervisor was killed meanwhile begins nothing, and is no supervisor itself', async () => {
    const { code, stdout } = await work('--workers', 'test/fixtures/family', '--supervised', '1:1');
    expect([code, stdout]).toEqual([0, '']);
  });

  it('ends them all with its own code, and its last words are in the log', async () => {
    const { code, stdout, stderr } = await work('--workers', 'test/fixtures/stillborn', '--no-http');
    expect(code).toBe(78);
    expect(stdout).toMatch(
      /"code":78.*"lastWords":\["the disk of licences is missing"\].*worker process died/,
    );
    expect(stderr).toContain('the disk of licences is missing\n');
  });

  it('so does a broker that is not there', async () => {
    const nowhere = { AMQP_URL: 'amqp://127.0.0.1:1' };
    const flags = ['--workers', 'test/fixtures/family', '--connect-timeout', '300ms', '--no-http'];
    expect((await warren(['work', '--processes', '2', ...flags], nowhere)).code).toBe(4);
  });

  it('takes no port from the supervisor: one that is in use ends it before any worker is started', async () => {
    await using family = await start({ processes: 1 });
    const { port } = new URL(family.url);
    const { code, stdout } = await work('--workers', 'test/fixtures/family', '--port', port);
    expect([code, stdout]).toEqual([78, '']);
  });
});
