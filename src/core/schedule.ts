/** Schedules: what a user says of one, and which of its ticks are to run. Pure: the time is passed in. */
import { checkQueueName } from '../../topology/names.ts';
import { type Rhythm, rhythmOf } from './cron.ts';
import { ConfigurationError } from './errors.ts';
import { DEFAULT_QUEUE, type Registration } from './registry.ts';

/** What becomes of ticks that nobody could run within a minute: none of them, the last of them, each of them. */
export type Missed = 'skip' | 'once' | 'all';

export interface CronOptions {
  /** Five fields, or six with the second in front, or seven with the year behind; `@daily` and its like. */
  expression: string;
  /** IANA name such as `'Europe/Berlin'`, default `'UTC'`. */
  timeZone?: string;
  /** What `perform` gets, default null. */
  payload?: unknown;
  /** Default `'once'`. `'all'` runs the last 100 at most. */
  // Any text for TypeScript, which makes no more than that of a static property; checked at the start.
  missed?: Missed | (string & Record<never, never>);
  /** Tells several schedules of one job apart, default `1`, `2`, …: name them where the list may change. */
  name?: string;
}

/** What stands in `static cron`. */
export type CronSchedules = string | CronOptions | readonly (string | CronOptions)[];

/** A schedule of the configuration, for a job by its name. */
export interface NamedSchedule extends Omit<CronOptions, 'name'> {
  job: string;
  /** Default: the queue of the job's class, else `'default'`. */
  queue?: string;
}

/** A checked schedule. */
export interface Schedule {
  /** Unique among all: it names the ticks, the metrics and the state on the broker. */
  readonly name: string;
  readonly job: string;
  readonly queue: string;
  readonly payload: unknown;
  readonly missed: Missed;
  readonly rhythm: Rhythm;
}

const POLICIES: readonly string[] = ['skip', 'once', 'all'] satisfies Missed[];
const KNOWN = ['expression', 'timeZone', 'payload', 'missed', 'name', 'job', 'queue'];
const NAME_SHAPE = /^[\p{L}\p{N}_][\p{L}\p{N}_.:#-]{0,119}$/u;

/**
 * Every schedule of these job classes and of the configuration.
 * @throws ConfigurationError for one that cannot be, or two of one name
 */
export function schedulesOf(
  jobs: readonly Registration[],
  named: Readonly<Record<string, NamedSchedule>> = {},
): Schedule[] {
  const schedules = [
    ...jobs.flatMap(ofJob),
    ...Object.entries(named).map(([name, options]) => ofConfig(name, options, jobs)),
  ];
  const seen = new Set<string>();
  for (const { name } of schedules) {
    if (seen.has(name)) throw new ConfigurationError(`two schedules are called '${name}'; rename one`);
    seen.add(name);
  }
  return schedules;
}

function ofJob({ name: job, queue, job: { cron } }: Registration): Schedule[] {
  if (cron === undefined) return [];
  if (!Array.isArray(cron)) return [checked(job, withJob(cron as string | CronOptions, job, queue))];
  return cron.map((one: string | CronOptions, index) => {
    const options = withJob(one, job, queue);
    return checked(`${job}#${options.name ?? index + 1}`, options);
  });
}

function withJob(one: string | CronOptions, job: string, queue: string) {
  if (typeof one === 'string') return { expression: one, job, queue };
  if (typeof one !== 'object' || one === null)
    throw new ConfigurationError(
      `job ${job}: its cron must be an expression such as '0 3 * * *', not ${one}`,
    );
  return { ...one, job, queue };
}

function ofConfig(name: string, options: NamedSchedule, jobs: readonly Registration[]): Schedule {
  const owner = `schedule '${name}'`;
  if (
    typeof options !== 'object' ||
    options === null ||
    typeof options.job !== 'string' ||
    options.job === ''
  )
    throw new ConfigurationError(
      `${owner}: it needs at least { job: 'NightlyReport', expression: '0 3 * * *' }`,
    );
  const known = jobs.find((registration) => registration.name === options.job);
  const queue = options.queue ?? known?.queue ?? DEFAULT_QUEUE;
  return checked(name, { ...options, queue: checkQueueName(queue, `${owner}: `) });
}

function checked(name: string, options: CronOptions & { job: string; queue: string }): Schedule {
  const owner = `schedule '${name}'`;
  const { expression, timeZone = 'UTC', payload = null, missed = 'once', job, queue } = options;
  if (!NAME_SHAPE.test(name))
    throw new ConfigurationError(
      `${owner} cannot be called so: up to 120 letters, digits, '_', '.', ':', '#' and '-'`,
    );
  const stranger = Object.keys(options).find((key) => !KNOWN.includes(key));
  if (stranger !== undefined)
    throw new ConfigurationError(
      `${owner} has no option '${stranger}'; it knows ${KNOWN.slice(0, 5).join(', ')}`,
    );
  if (typeof expression !== 'string' || typeof timeZone !== 'string')
    throw new ConfigurationError(`${owner}: expression and timeZone must be text`);
  if (!POLICIES.includes(missed))
    throw new ConfigurationError(`${owner}: missed must be one of ${POLICIES.join(', ')}, not ${missed}`);
  return {
    name,
    job,
    queue,
    payload: asJson(payload, owner),
    missed: missed as Missed,
    rhythm: rhythmOf(expression, timeZone, owner),
  };
}

/** It travels as JSON, so it is looked at as JSON from the start. */
function asJson(payload: unknown, owner: string): unknown {
  try {
    return JSON.parse(JSON.stringify(payload));
  } catch (error) {
    throw new ConfigurationError(`${owner}: its payload is no JSON: ${(error as Error).message}`);
  }
}

/** A tick is late for so long, and missed from then on. */
export const LATE_MS = 60_000;
/** How many missed ticks are made up for at most. */
export const MOST_MADE_UP = 100;
/** So many are counted, and no more. */
const MOST_COUNTED = 1_000;

/** What is next for a schedule. */
export interface Plan {
  /** The tick to wait for, or to run at once when it is past. Undefined: there is none any more. */
  tick: number | undefined;
  /** Ticks that are not run: how many (1,000 at most are counted), and the last of them. */
  skipped: { count: number; to: number } | undefined;
}

/** `after`: every tick up to this moment is dealt with. */
export function planTicks({ rhythm, missed }: Schedule, after: number, now: number): Plan {
  const tick = rhythm.next(after);
  if (tick === undefined || tick > now - LATE_MS) return { tick, skipped: undefined };
  const { count, newest } = missedTicks(rhythm, after, now - LATE_MS);
  const made = missed === 'skip' ? 0 : missed === 'once' ? 1 : MOST_MADE_UP;
  const kept = made === 0 ? [] : newest.slice(-made);
  const skipped = count - kept.length;
  // Nothing ticks between two seconds, so all before the first that is kept are dealt with.
  const to = kept[0] === undefined ? (newest.at(-1) as number) : kept[0] - 1;
  return {
    tick: kept[0] ?? rhythm.next(newest.at(-1) as number),
    skipped: skipped > 0 ? { count: skipped, to } : undefined,
  };
}

/** The ticks in (after, until]: how many, and the newest hundred. There is one at least. */
function missedTicks(rhythm: Rhythm, after: number, until: number): { count: number; newest: number[] } {
  const all = ticksBetween(rhythm, after, until);
  if (all.length < MOST_COUNTED) return { count: all.length, newest: all.slice(-MOST_MADE_UP - 1) };
  // Too many to go through: the newest are looked for from the end, further back each time.
  for (let back = 60_000; ; back *= 4) {
    const newest = ticksBetween(rhythm, Math.max(after, until - back), until);
    if (newest.length > MOST_MADE_UP || until - back <= after)
      return { count: MOST_COUNTED, newest: newest.slice(-MOST_MADE_UP - 1) };
  }
}

function ticksBetween(rhythm: Rhythm, after: number, until: number): number[] {
  const ticks: number[] = [];
  for (let tick = rhythm.next(after); tick !== undefined && tick <= until; tick = rhythm.next(tick)) {
    ticks.push(tick);
    if (ticks.length >= MOST_COUNTED) break;
  }
  return ticks;
}

/** The next `count` ticks after a moment. */
export function nextTicks({ rhythm }: Schedule, after: number, count: number): number[] {
  const ticks: number[] = [];
  let tick = rhythm.next(after);
  for (; tick !== undefined && ticks.length < count; tick = rhythm.next(tick)) ticks.push(tick);
  return ticks;
}

/** The id of the job of one tick: whoever lets it go, it is the same. */
export function tickId(schedule: string, tick: number): string {
  return `cron:${schedule}:${new Date(tick).toISOString().replace('.000Z', 'Z')}`;
}

/** The id of a run that an operator asked for. */
export function runId(schedule: string, unique: string): string {
  return `cron:${schedule}:run-${unique}`;
}

/** The schedule that a job's id tells of. */
export function scheduleOfId(id: string): string | undefined {
  return /^cron:(.+):(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z|run-.+)$/.exec(id)?.[1];
}
