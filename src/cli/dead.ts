/** `warren dead`: look into the dead queue of a work queue, send letters again, or throw them away. */
import type { Command } from 'commander';
import { checkQueueName } from '../../topology/names.ts';
import { AdminError, type ConnectionRole } from '../broker/broker.ts';
import {
  type DeadLetter,
  type DeadQueue,
  discardDeadLetters,
  type Handled,
  listDeadLetters,
  MOST_HELD,
  replayDeadLetters,
  type Selection,
  showDeadLetters,
  UNROUTED,
} from '../dead-letters.ts';
import { describe, EXIT, UsageError, usable } from './exit.ts';
import type { Flags } from './flags.ts';
import { output } from './output.ts';
import type { Verb } from './program.ts';
import { openPlace, visit } from './project.ts';

interface DeadFlags extends Flags {
  json?: boolean;
  all?: boolean;
  dryRun?: boolean;
  limit: number;
}

const DEFAULT_LIMIT = 100;

export function addDead(program: Command, end: Verb): void {
  const dead = program
    .command('dead')
    .description(
      'Look after jobs that are dead. QUEUE is the work queue: mail for mail.dead; or `unrouted`, where those lie that fell due while their queue was gone.',
    );
  add(dead, 'list', 'List the oldest dead jobs.', list, end, '<queue>');
  add(dead, 'show', 'Show dead jobs with payload and headers.', show, end);
  add(dead, 'replay', 'Send dead jobs to their queue again, from attempt 1.', replay, end).option(...DRY_RUN);
  add(dead, 'discard', 'Remove dead jobs for good.', discard, end).option(...DRY_RUN);
}

const DRY_RUN = ['--dry-run', 'Only tell what would be done.'] as const;

type Step = (place: DeadQueue, ids: readonly string[], flags: DeadFlags) => Promise<number>;

function add(
  dead: Command,
  name: string,
  description: string,
  step: Step,
  end: Verb,
  args = '<queue> [ids...]',
): Command {
  const command = dead.command(name).description(description).arguments(args);
  if (name === 'list' || name === 'show')
    command.option('--limit <number>', 'How many at most.', limitFrom, DEFAULT_LIMIT);
  if (name !== 'list') command.option('--all', 'All of them.');
  return command.action(async (queue: string, ids: string[] | object) => {
    const flags = command.optsWithGlobals<DeadFlags>();
    const chosen = Array.isArray(ids) ? ids : [];
    if (queue.endsWith('.dead'))
      throw new UsageError(`QUEUE is the work queue; did you mean '${queue.slice(0, -5)}'?`);
    if (queue !== UNROUTED) usable('QUEUE', () => checkQueueName(queue));
    if (name !== 'list') selectionOf(chosen, flags);
    const { settings, names } = await openPlace(flags);
    const roles: ConnectionRole[] = name === 'replay' ? ['consuming', 'publishing'] : ['consuming'];
    end(await visit(settings, roles, (broker) => step({ broker, names, queue }, chosen, flags)));
  });
}

function limitFrom(text: string): number {
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 1 || limit > MOST_HELD)
    throw new UsageError(`--limit: '${text}' is no whole number from 1 to ${MOST_HELD}`);
  return limit;
}

/** Neither ids nor --all must never mean all. */
function selectionOf(ids: readonly string[], { all }: DeadFlags): Selection {
  if (all && ids.length > 0) throw new UsageError('give either ids or --all');
  if (!all && ids.length === 0) throw new UsageError('which ones? Give their ids, or --all');
  return all ? { all } : { ids };
}

// --- looking ---

const HEADING = ['id', 'job', 'reason', 'attempt', 'crashes', 'error', 'dead since'];

async function list(place: DeadQueue, _: readonly string[], { json, limit }: DeadFlags): Promise<number> {
  const { letters, total } = await found(place, listDeadLetters(place, limit));
  if (json) output.json(letters);
  else if (letters.length > 0 && place.queue === UNROUTED)
    output.table(UNROUTED_HEADING, letters.map(unroutedCellsOf));
  else if (letters.length > 0) output.table(HEADING, letters.map(cellsOf));
  if (total > letters.length)
    output.note(`${letters.length} of ${total} shown, the oldest; --limit shows more`);
  else if (!json && total === 0) output.note(`no ${jobsOf(place)}`);
  return EXIT.fine;
}

const UNROUTED_HEADING = ['id', 'job', 'queue', 'attempt', 'crashes', 'error', 'due since'];

/** They did not die, but belong to many queues. */
function unroutedCellsOf(letter: DeadLetter) {
  return cellsOf({ ...letter, reason: letter.queue });
}

function jobsOf({ queue }: DeadQueue): string {
  return queue === UNROUTED ? 'unrouted jobs' : `dead jobs of ${queue}`;
}

function cellsOf({ id, job, reason, attempt, crashes, error, deadAt }: DeadLetter) {
  return [id, job, reason, attempt, crashes, error ? `${error.name}: ${error.message}` : '', deadAt];
}

async function show(place: DeadQueue, ids: readonly string[], flags: DeadFlags): Promise<number> {
  const shown = await found(place, showDeadLetters(place, selectionOf(ids, flags), flags.limit));
  // For people it is JSON as well: nothing says a payload better.
  output.json(shown.letters);
  return endOf(place, { ...shown, failed: [] });
}

// --- doing ---

function replay(place: DeadQueue, ids: readonly string[], flags: DeadFlags): Promise<number> {
  return doTo(place, ids, flags, { step: replayDeadLetters, word: 'replayed' });
}

function discard(place: DeadQueue, ids: readonly string[], flags: DeadFlags): Promise<number> {
  return doTo(place, ids, flags, { step: discardDeadLetters, word: 'discarded' });
}

interface Deed {
  step: typeof replayDeadLetters;
  word: 'replayed' | 'discarded';
}

async function doTo(
  place: DeadQueue,
  ids: readonly string[],
  flags: DeadFlags,
  { step, word }: Deed,
): Promise<number> {
  const done: string[] = [];
  const onDone = ({ id, job }: DeadLetter) => {
    done.push(id);
    if (!flags.json) output.line(`${flags.dryRun ? 'would be ' : ''}${word} ${job ?? '(no job)'} ${id}`);
  };
  const { dryRun = false } = flags;
  try {
    const handled = await found(place, step(place, selectionOf(ids, flags), { dryRun, onDone }));
    if (flags.json)
      output.json({ dryRun, [word]: done, failed: handled.failed.map(failureOf), missing: handled.missing });
    return endOf(place, handled);
  } catch (error) {
    if (done.length > 0)
      output.note(`${done.length} ${word} before this went wrong; the others are where they were`);
    throw error;
  }
}

function failureOf({ letter, error }: Handled['failed'][number]) {
  return { id: letter.id, error: { name: error.name, message: error.message } };
}

function endOf(place: DeadQueue, { missing, unseen, failed }: Handled): number {
  const stays = place.queue === UNROUTED ? 'unrouted' : 'in the dead queue';
  for (const { letter, error } of failed) output.note(`${letter.id} stays ${stays}: ${describe(error)}`);
  if (missing.length > 0) output.note(`not among the ${jobsOf(place)}: ${missing.join(', ')}`);
  if (unseen > 0 && missing.length + failed.length > 0)
    output.note(
      `${unseen} were not looked at: they lie too deep, come after a failure, or another operator holds them`,
    );
  return missing.length + failed.length > 0 ? EXIT.failed : EXIT.fine;
}

/** Says which queue it is about: the broker's own words name the dead queue only. */
async function found<T>({ queue }: DeadQueue, result: Promise<T>): Promise<T> {
  try {
    return await result;
  } catch (error) {
    if (!(error instanceof AdminError) || error.failure !== 'missing') throw error;
    if (queue === UNROUTED) throw error;
    throw new AdminError(
      'missing',
      `queue '${queue}' has no dead queue on this broker; is the name right (without the namespace), and the namespace?`,
    );
  }
}
