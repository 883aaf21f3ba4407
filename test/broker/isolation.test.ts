/** Jobs in children, as one sees them who embeds a runtime: the same API and the same events, whatever the isolation. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { EventName, Events, JobClass } from 'warren';

import { loadJobClasses } from '../../src/load-workers.ts';
import { createLogger } from '../../src/observe/logs.ts';
import { startRuntime, type TestRuntime } from '../support/runtime.ts';
import { until } from '../support/until.ts';

/** As it is built: a child from the sources takes twice as long to come up. */
const built = '../../dist/src/index.js';
const { createRuntime } = (await import(built)) as typeof import('warren');

const FOLDER = 'test/fixtures/isolated';
const KINDS = ['inline', 'process', 'thread'] as const;
const classes = new Map((await loadJobClasses(FOLDER)).map((job) => [job.name, job]));
const classOf = (name: string) => classes.get(name) as JobClass;
const JOBS = {
  inline: classOf('InlineDeed'),
  process: classOf('ProcessDeed'),
  thread: classOf('ThreadDeed'),
};
const HASTY = {
  inline: classOf('HastyInline'),
  process: classOf('HastyProcess'),
  thread: classOf('HastyThread'),
};
const WATCHED = [
  'attempt.started',
  'attempt.succeeded',
  'attempt.failed',
  'attempt.timed-out',
  'attempt.released',
  'job.crashed',
  'job.retried',
  'job.snoozed',
  'job.succeeded',
  'job.dead',
  'job.progress',
  'job.enqueued',
  'publish.failed',
] as const;

type Kind = (typeof KINDS)[number];
// biome-ignore lint/suspicious/noExplicitAny: the tests say what they expect in it
type Seen = { name: EventName; event: any };

let it_: TestRuntime;
const seen: Seen[] = [];
// biome-ignore lint/suspicious/noExplicitAny: as above
const lines: Record<string, any>[] = [];

beforeAll(async () => {
  const logger = createLogger('debug', { write: (line) => void lines.push(JSON.parse(line)) });
  it_ = await startRuntime(
    [...classes.values()],
    {
      workers: FOLDER,
      logger,
      queues: { deeds: { concurrency: 4 }, elsewhere: {} },
      grace: '4s',
    },
    { create: createRuntime },
  );
  for (const name of WATCHED)
    it_.runtime.on(name, (event: Events[typeof name]) => void seen.push({ name, event }));
});

afterAll(async () => it_?.[Symbol.asyncDispose]());

/** What became of a job: its events until the one that is waited for. */
async function fate(job: JobClass, does: string, last: EventName): Promise<Seen[]> {
  const { id } = await it_.client.enqueue(job, { does });
  const mine = () =>
    seen.filter(
      ({ name, event }) => event.id === id || (name === 'job.enqueued' && event.id === `${id}-child`),
    );
  await until(() => mine().some(({ name }) => name === last), {
    within: 60_000,
    what: `${last} of a ${job.name} that ${does}`,
  });
  return mine();
}

/** Without what differs from run to run. */
function comparable(events: Seen[]): unknown[] {
  return events.map(({ name, event }) => {
    const { error, reason, willRetry, value, attempt, waitMs, job, queue } = event;
    const wait = name === 'attempt.started' ? undefined : waitMs;
    const what = error && { name: error.name, message: error.message, code: error.code };
    return {
      name,
      attempt,
      reason,
      willRetry,
      value,
      wait,
      queue,
      job: job.endsWith('Deed') ? 'Deed' : job,
      error: what,
    };
  });
}

function logged(events: Seen[]): unknown[] {
  const id = events[0]?.event.id;
  const own = new Set(['waiting', 'aborted', 'a line', 'refused']);
  return lines
    .filter((line) => line.id === id && own.has(String(line.msg)))
    .map(({ time, pid, hostname, id: _, job, err, ...line }) => ({ ...line, err: err && shown(err) }));
}

/** Where it was called from differs: its own lines are the first. */
function shown({ stack, ...err }: { stack?: string }): object {
  return {
    ...err,
    stack: stack
      ?.split('\n')
      .slice(0, 2)
      .map((line) => line.replace('file://', '')),
  };
}

describe('the same deed under the three isolations', () => {
  const DEEDS: [string, EventName][] = [
    ['nothing', 'job.succeeded'],
    ['throws', 'job.dead'],
    ['isFinal', 'job.dead'],
    ['dies', 'job.dead'],
    ['snoozes', 'job.snoozed'],
    ['reports', 'job.succeeded'],
    ['speaksOutOfTurn', 'job.succeeded'],
    ['enqueues', 'job.succeeded'],
    ['enqueuesNowhere', 'job.succeeded'],
    ['enqueuesRubbish', 'job.succeeded'],
  ];
  it.each(DEEDS)('one that does this: %s', async (does, last) => {
    const kinds = KINDS;
    const fates = await Promise.all(kinds.map((kind) => fate(JOBS[kind], does, last)));
    const [inline, process, thread] = fates.map((events) => ({
      events: comparable(events),
      logs: logged(events),
    }));
    expect(process).toEqual(inline);
    expect(thread).toEqual(inline);
  });

  it('what a job leaves behind speaks for itself, and not for the one that runs there next', async () => {
    const [one] = await fate(JOBS.process, 'lingers', 'job.succeeded');
    const told = seen.length;
    const [next] = await fate(JOBS.process, 'wakesWhatLingers', 'job.succeeded');
    const [first, second] = [one?.event.id, next?.event.id];
    const mine = lines.filter(({ id, msg }) => [first, second].includes(id) && / (line|refusal)$/.test(msg));
    const [{ inside } = {}] = mine;
    expect(mine.map(({ id, msg, inside: where, code }) => [id, msg, where ?? code])).toEqual([
      [first, 'a late line', inside],
      [first, 'late refusal', 'WARREN_CLOSED'],
      [second, 'an own line', inside],
    ]);
    const progress = seen.slice(told).filter(({ name }) => name === 'job.progress');
    expect(progress.map(({ event }) => event)).toMatchObject([{ id: first, value: { late: true } }]);
  });

  it('really runs in another process, or in another thread of this one', async () => {
    const { pid } = process;
    const whereOf = async (kind: Kind) =>
      (await fate(JOBS[kind], 'saysWhere', 'job.succeeded')).find(({ name }) => name === 'job.progress')
        ?.event.value;
    expect(await whereOf('inline')).toMatchObject({ pid, thread: 0 });
    expect((await whereOf('process')).pid).not.toBe(pid);
    const thread = await whereOf('thread');
    expect(thread.pid).toBe(pid);
    expect(thread.thread).toBeGreaterThan(0);
  });
});

describe('a job that takes its child down', () => {
  const ENDS: [keyof typeof JOBS, string, { exitCode: number | null; signal: string | null }][] = [
    ['process', 'exits', { exitCode: 0, signal: null }],
    ['process', 'kills', { exitCode: null, signal: 'SIGKILL' }],
    ['process', 'segfaults', { exitCode: null, signal: 'SIGSEGV' }],
    ['thread', 'exits', { exitCode: 0, signal: null }],
  ];
  it.each(ENDS)('%s: one that %s is known, marked, and parked', async (kind, does, evidence) => {
    const events = await fate(JOBS[kind], does, 'job.dead');
    expect(events.map(({ name }) => name)).toEqual(['attempt.started', 'job.crashed', 'job.dead']);
    expect(events[1]?.event).toMatchObject({ attempt: 1, crashes: 1, willRetry: false, error: evidence });
    expect(events[2]?.event).toMatchObject({ reason: 'crashed', attempt: 1 });
  });

  it('leaves what it wrote last as evidence', async () => {
    const events = await fate(JOBS.process, 'exitsBadly', 'job.dead');
    expect(events[1]?.event.error).toMatchObject({ exitCode: 70, stderr: 'the last words of this process' });
    expect(events[2]?.event.error.stack).toContain('the last words of this process');
    expect(
      lines.find(({ msg, id }) => msg === 'job took its process down' && id === events[0]?.event.id),
    ).toMatchObject({
      level: 'error',
      exitCode: 70,
      crashes: 1,
    });
  });

  it.each(['strays', 'throwsInTimer'] as const)('that %s has failed, and not crashed', async (does) => {
    for (const kind of ['process', 'thread'] as const) {
      const events = await fate(JOBS[kind], does, 'attempt.failed');
      expect(events.map(({ name }) => name)).not.toContain('job.crashed');
    }
  });
});

describe('a job that runs too long', () => {
  it.each(['process', 'thread'] as const)('is stopped in its %s even in an endless loop', async (kind) => {
    const events = await fate(HASTY[kind], 'loops', 'job.dead');
    expect(events.map(({ name }) => name)).toEqual(['attempt.started', 'attempt.timed-out', 'job.dead']);
    expect(events[2]?.event).toMatchObject({
      reason: 'attempts-exhausted',
      error: { name: 'JobTimeoutError' },
    });
  });

  it('hears of it from its signal, as inline', async () => {
    const kinds = KINDS;
    const fates = await Promise.all(kinds.map((kind) => fate(HASTY[kind], 'waitsForAbort', 'job.dead')));
    const told = (events: Seen[]) =>
      events.map(({ name, event }) => [name, event.error?.message.replace(/^Hasty\w+/, '')]);
    const [inline, process, thread] = fates;
    expect(told(process as Seen[])).toEqual(told(inline as Seen[]));
    expect(told(thread as Seen[])).toEqual(told(inline as Seen[]));
    for (const events of fates) await until(() => logged(events).length === 2, { what: 'its lines' });
    expect(logged(process as Seen[])).toEqual(logged(inline as Seen[]));
    expect(logged(thread as Seen[])).toEqual(logged(inline as Seen[]));
  });
});

it('refuses an isolated job without a folder that children can import it from', () => {
  expect(() => createRuntime({ jobs: [JOBS.process], http: false })).toThrow(/ProcessDeed.*'workers'/);
});

// Last: it ends the runtime.
it('a stop asks the children, kills those that do not listen, and counts no crash', async () => {
  const ids: string[] = [];
  for (const [job, does] of [
    [JOBS.process, 'waitsForAbort'],
    [JOBS.thread, 'waitsForAbort'],
    [JOBS.process, 'loops'],
    [JOBS.thread, 'loops'],
  ] as const)
    ids.push((await it_.client.enqueue(job, { does })).id);
  // Of those before them some are retried, and may be so just now.
  const idsTold = (wanted: EventName) =>
    seen.filter(({ name, event }) => name === wanted && ids.includes(event.id)).map(({ event }) => event.id);
  await until(() => idsTold('attempt.started').length === 4, { within: 60_000, what: 'four runs' });
  const asked = seen.length;
  expect(await it_.stop()).toBe(3);
  expect(idsTold('attempt.released').toSorted()).toEqual(ids.toSorted());
  expect(seen.slice(asked).map(({ name }) => name)).not.toContain('job.crashed');
  expect(idsTold('job.crashed')).toEqual([]);
});
