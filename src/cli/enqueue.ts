/** `warren enqueue`: one job, by name. */
import type { Command } from 'commander';
import { checkQueueName } from '../../topology/names.ts';
import { checkedId, checkedName, createClient } from '../client.ts';
import { dueMoment } from '../core/due.ts';
import type { Enqueued, EnqueueOptions } from '../job.ts';
import { LONGEST_LEVELS_MS } from '../levels.ts';
import { EXIT, UsageError, usable } from './exit.ts';
import type { Flags } from './flags.ts';
import { output } from './output.ts';
import type { Verb } from './program.ts';
import { openProject, type Project, VISIT_CONNECT_MS } from './project.ts';

interface EnqueueFlags extends Flags {
  json?: boolean;
  queue?: string;
  id?: string;
  in?: string;
  at?: string;
}

export function addEnqueue(program: Command, end: Verb): void {
  const enqueue = program
    .command('enqueue')
    .description('Enqueue a job; done when the broker has kept it.')
    .argument('<name>', 'the name of its class')
    .argument('<json>', 'its payload')
    .option('--queue <name>', "its queue (default: that of its class, else 'default')")
    .option('--id <id>', 'its id (default: a new one)')
    .option('--in <duration>', 'not now but after this long: 90s, 5m, 2h30m')
    .option('--at <time>', 'not now but at this moment, as ISO 8601 with an offset: 2027-01-01T08:00+01:00')
    .action(async (name: string, json: string) => {
      const flags = enqueue.optsWithGlobals<EnqueueFlags>();
      const payload = parsed(json);
      const { id } = flags;
      usable('NAME', () => checkedName(name));
      if (id !== undefined) usable('--id', () => checkedId(id, name));
      if (flags.queue !== undefined) usable('--queue', () => checkQueueName(flags.queue ?? ''));
      const when = whenOf(flags);
      const enqueued = await send(await openProject(flags), name, payload, { ...named(flags), ...when });
      if (flags.json) output.json(enqueued);
      else output.line(`enqueued ${name} ${enqueued.id} to ${enqueued.queue}`);
      end(EXIT.fine);
    });
}

/** Checked before anything is done: a time that cannot be is a wrong command line. */
function whenOf({ in: wait, at }: EnqueueFlags): Pick<EnqueueOptions, 'in' | 'at'> {
  const when: Pick<EnqueueOptions, 'in' | 'at'> = {
    ...(wait === undefined ? {} : { in: wait }),
    ...(at === undefined ? {} : { at: momentOf(at) }),
  };
  if (wait !== undefined && /^\d+$/.test(wait))
    throw new UsageError(`--in: '${wait}' says no unit; write ${wait}s or ${wait}ms`);
  usable(at === undefined ? '--in' : '--at', () => dueMoment(when, Date.now(), LONGEST_LEVELS_MS));
  return when;
}

/** Date and time and where that is: without an offset it would be another moment on another machine. */
const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)$/i;

function momentOf(text: string): Date {
  const at = new Date(text.trim());
  if (MOMENT.test(text.trim()) && !Number.isNaN(at.getTime()) && isInCalendar(text.trim())) return at;
  throw new UsageError(
    `--at: '${text}' is no moment; write date, time and offset, such as 2027-01-01T08:00+01:00 or 2027-01-01T07:00Z`,
  );
}

/** To JavaScript the 31st of February is the 3rd of March. */
function isInCalendar(text: string): boolean {
  const [year = 0, month = 0, day = 0] = text.slice(0, 10).split('-').map(Number);
  return new Date(Date.UTC(year, month - 1, day)).getUTCDate() === day;
}

function named({ id, queue }: EnqueueFlags): Pick<EnqueueOptions, 'id' | 'queue'> {
  return { ...(id === undefined ? {} : { id }), ...(queue === undefined ? {} : { queue }) };
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new UsageError(
      `the payload is no JSON (${(error as Error).message}); in a shell, put it in single quotes`,
    );
  }
}

/** With the class at hand its queue and its schema count; else the name travels as it is. */
async function send(
  project: Project,
  name: string,
  payload: unknown,
  options: EnqueueOptions,
): Promise<Enqueued> {
  const { settings, registry, folder } = project;
  const job = registry.get(name)?.job;
  if (!job && registry.all.length > 0)
    output.note(`no class in ${folder} is called '${name}'; enqueuing it by its name`);
  const { urls, namespace, maxPayload, deadlineMs } = settings;
  const client = await createClient({
    url: urls,
    namespace,
    maxPayload,
    deadline: deadlineMs,
    connectTimeout: VISIT_CONNECT_MS,
  });
  try {
    return await (job ? client.enqueue(job, payload, options) : client.enqueue(name, payload, options));
  } finally {
    await client.close();
  }
}
