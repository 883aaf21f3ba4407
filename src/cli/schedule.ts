/** `warren schedule`: when jobs run by themselves, and running one now. */
import type { Command } from 'commander';
import { createClient } from '../client.ts';
import { nextTicks, runId, type Schedule, schedulesOf } from '../core/schedule.ts';
import { newId } from '../new-id.ts';
import { readScheduleTable, type ScheduleEntry, type ScheduleTable } from '../schedule/state.ts';
import { EXIT, UsageError } from './exit.ts';
import { output } from './output.ts';
import type { Verb } from './program.ts';
import { openProject, type Project, VISIT_CONNECT_MS, visit } from './project.ts';

export interface ScheduleRow {
  name: string;
  /** Null: no code here knows it, a leader did. */
  job: string | null;
  queue: string | null;
  expression: string;
  /** The expression in plain words. */
  words: string | null;
  timeZone: string;
  /** What becomes of missed ticks. */
  policy: string | null;
  /** The next three, ISO. */
  next: string[];
  /** The last tick that was let go, and how many were not run in all; null: nobody has led it yet. */
  last: string | null;
  missed: number | null;
}

export function addSchedule(program: Command, end: Verb): void {
  const schedule = program.command('schedule').description('Look after what runs by itself.');
  const list = schedule
    .command('list')
    .description('List the schedules: in words, their next runs, their last one, what was missed.')
    .action(async () => end(await listAll(list.optsWithGlobals<{ json?: boolean }>())));
  const run = schedule
    .command('run')
    .description('Enqueue the job of a schedule now, whatever its time.')
    .argument('<name>', 'of the schedule; it is that of its job where it has no other')
    .action(async (name: string) => end(await runNow(name, run.optsWithGlobals<{ json?: boolean }>())));
}

// --- list ---

const HEADING = ['schedule', 'when', 'time zone', 'next', 'last', 'missed'];

async function listAll(flags: { json?: boolean }): Promise<number> {
  const project = await openProject(flags);
  const schedules = known(project);
  const table = await visit(project.settings, ['consuming'], (broker) =>
    readScheduleTable(broker, project.names),
  );
  const rows = await rowsOf(schedules, table);
  if (flags.json) output.json({ leader: leaderOf(table), schedules: rows });
  else show(rows, table);
  return EXIT.fine;
}

function leaderOf(table: ScheduleTable | undefined) {
  const leader = table?.leader;
  return leader ? { ...leader, since: new Date(leader.since).toISOString() } : null;
}

function known({ registry, settings }: Project): Schedule[] {
  return schedulesOf(registry.all, settings.schedules);
}

async function rowsOf(schedules: Schedule[], table: ScheduleTable | undefined): Promise<ScheduleRow[]> {
  const describe = await describer();
  const now = Date.now();
  const ours = schedules.map((schedule) => ({
    ...factsOf(table?.entries[schedule.name]),
    name: schedule.name,
    job: schedule.job,
    queue: schedule.queue,
    expression: schedule.rhythm.expression,
    words: describe(schedule.rhythm.expression),
    timeZone: schedule.rhythm.timeZone,
    policy: schedule.missed,
    next: nextTicks(schedule, now, 3).map((tick) => new Date(tick).toISOString()),
  }));
  const names = new Set(schedules.map(({ name }) => name));
  const others = Object.entries(table?.entries ?? {}).filter(([name]) => !names.has(name));
  return [...ours, ...others.map(([name, entry]) => foreignRow(name, entry, describe))];
}

function foreignRow(
  name: string,
  entry: ScheduleEntry,
  describe: (text: string) => string | null,
): ScheduleRow {
  const zone = entry.rhythm.lastIndexOf(' ');
  const expression = entry.rhythm.slice(0, zone);
  return {
    ...factsOf(entry),
    name,
    ...{ job: null, queue: null, policy: null, next: [] },
    expression,
    words: describe(expression),
    timeZone: entry.rhythm.slice(zone + 1),
  };
}

function factsOf(entry: ScheduleEntry | undefined) {
  const last = entry?.last === undefined ? null : new Date(entry.last).toISOString();
  return { last, missed: entry?.missed ?? null };
}

/** Loaded here only: no other verb needs it. It does not know every expression that croner knows. */
async function describer(): Promise<(expression: string) => string | null> {
  const { default: cronstrue } = await import('cronstrue');
  return (expression) => {
    try {
      return cronstrue.toString(expression, { use24HourTimeFormat: true });
    } catch {
      return null;
    }
  };
}

function show(rows: ScheduleRow[], table: ScheduleTable | undefined): void {
  if (rows.length === 0) {
    output.note('no job class here has a cron, and the configuration has no schedules');
    return;
  }
  output.table(
    HEADING,
    rows.map((row) => [
      row.name,
      row.words ?? row.expression,
      row.timeZone,
      row.job === null ? 'not in this code' : row.next.map(brief).join('  '),
      row.last === null ? '' : brief(row.last),
      row.missed,
    ]),
  );
  const leader = table?.leader;
  output.note(leader ? `led by process ${leader.pid} on ${leader.host}` : 'no worker leads them');
}

function brief(iso: string): string {
  return iso.replace(/\.\d+Z$/, 'Z');
}

// --- run ---

async function runNow(name: string, flags: { json?: boolean }): Promise<number> {
  const project = await openProject(flags);
  const schedules = known(project);
  const schedule = schedules.find((one) => one.name === name);
  if (!schedule)
    throw new UsageError(
      `there is no schedule '${name}'; there ${schedules.length === 0 ? 'is none' : `are ${schedules.map((one) => one.name).join(', ')}`}`,
    );
  const enqueued = await send(project, schedule);
  if (flags.json) output.json(enqueued);
  else output.line(`enqueued ${schedule.job} ${enqueued.id} to ${enqueued.queue}`);
  return EXIT.fine;
}

async function send({ settings, registry }: Project, schedule: Schedule) {
  const { name, job, queue, payload } = schedule;
  const client = await createClient({
    ...settings,
    url: settings.urls,
    connectTimeout: VISIT_CONNECT_MS,
    deadline: settings.deadlineMs,
  });
  try {
    const options = { id: runId(name, newId()), queue };
    const known = registry.get(job)?.job;
    return await (known ? client.enqueue(known, payload, options) : client.enqueue(job, payload, options));
  } finally {
    await client.close();
  }
}
