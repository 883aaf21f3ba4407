/**
 * The plan and the broker: compare, create. Nothing here changes or deletes what stands.
 *
 * To declare is the only way in which AMQP 0-9-1 compares arguments, and it creates what is missing.
 * So each thing is looked for first, and declared again only where it is there: that changes nothing
 * when it is the same, and is answered with 406 and a closed channel when it is not.
 */
import { type AdminChannel, AdminError, type AdminFailure, type Broker } from '../src/broker/broker.ts';
import { TopologyMismatchError } from '../src/core/errors.ts';
import {
  type Change,
  type Difference,
  describeDifference,
  type ForbiddenAction,
  type Item,
  labelOf,
  readMismatch,
  type TopologyDiff,
} from './differences.ts';
import type { BindingSpec, ExchangeSpec, LinkSpec, QueueSpec, Topology } from './plan.ts';

export * from './differences.ts';

/** All that this needs of a broker: throwaway channels. */
export type TopologyBroker = Pick<Broker, 'admin'>;

export interface TopologyReport {
  /** What was made, such as `queue mail`, in the order in which it was made. */
  created: string[];
  /** What stood already, as wanted. */
  present: string[];
  bindings: number;
}

type Wanted =
  | { what: 'exchange'; name: string; spec: ExchangeSpec }
  | { what: 'queue'; name: string; spec: QueueSpec };

/** So many things are looked at side by side: on a far broker each of them costs four round trips. */
const LANES = 8;
/** After this many differing arguments of one queue nobody wants to know the next. */
const MOST_CHANGES = 8;

/**
 * Compares, and changes nothing.
 * @throws AdminError when the broker cannot be asked
 */
export async function diffTopology(broker: TopologyBroker, topology: Topology): Promise<TopologyDiff> {
  const wanted = everything(topology);
  const answers = await inLanes(wanted, (item) => compare(broker, item));
  return {
    differences: answers.filter((answer) => answer !== undefined),
    fine: wanted.filter((_, index) => answers[index] === undefined).map(itemOf),
    uncheckedBindings: topology.bindings,
  };
}

/**
 * For a start that creates nothing. What this user may not compare is taken for right, as it is there.
 * @throws TopologyMismatchError when something is missing or stands otherwise
 */
export async function verifyTopology(broker: TopologyBroker, topology: Topology): Promise<TopologyDiff> {
  const diff = await diffTopology(broker, topology);
  refuse(diff.differences.filter(({ state }) => state !== 'forbidden'));
  return diff;
}

/**
 * Creates what is missing and binds everything. Safe to repeat, and for many at once.
 * @throws TopologyMismatchError, having changed nothing, when something stands otherwise or cannot be compared;
 * also, with `forbidden`, when a permission to create or bind is lacking: then what came before it stands, as the
 * error's `created` says
 */
export async function applyTopology(broker: TopologyBroker, topology: Topology): Promise<TopologyReport> {
  const { differences, fine } = await diffTopology(broker, topology);
  const report: TopologyReport = { created: [], present: fine.map(labelOf), bindings: 0 };
  try {
    refuse(differences.filter(({ state }) => state !== 'missing'));
    await broker.admin((channel) => createAll(channel, topology, new Set(differences.map(labelOf)), report));
  } catch (error) {
    if (!(error instanceof TopologyMismatchError)) throw error;
    throw new TopologyMismatchError(error.message, error.differences, report);
  }
  return report;
}

/** Writes down what it has made as soon as it is made. */
async function createAll(
  channel: AdminChannel,
  topology: Topology,
  missing: ReadonlySet<string>,
  report: TopologyReport,
): Promise<void> {
  const { bindings, links = [] } = topology;
  for (const item of everything(topology).filter((one) => missing.has(labelOf(one)))) {
    await create(channel, item);
    report.created.push(labelOf(item));
  }
  for (const link of links) await linkUp(channel, link);
  for (const binding of bindings) await bind(channel, binding);
  report.bindings = bindings.length + links.length;
}

function everything({ exchanges, queues }: Topology): Wanted[] {
  return [
    ...exchanges.map((spec) => ({ what: 'exchange', name: spec.name, spec }) as const),
    ...queues.map((spec) => ({ what: 'queue', name: spec.name, spec }) as const),
  ];
}

function refuse(differences: Difference[]): void {
  if (differences.length === 0) return;
  throw new TopologyMismatchError(differences.map(describeDifference).join('\n'), differences);
}

function itemOf({ what, name }: Item): Item {
  return { what, name };
}

// --- comparing ---

/** @returns undefined when it stands as it should */
async function compare(broker: TopologyBroker, wanted: Wanted): Promise<Difference | undefined> {
  try {
    await broker.admin(async (channel) => {
      await lookFor(channel, wanted);
      await declare(channel, wanted);
    });
    return undefined;
  } catch (error) {
    return differenceOf(broker, wanted, error);
  }
}

async function differenceOf(broker: TopologyBroker, wanted: Wanted, error: unknown): Promise<Difference> {
  const { failure, message: said } = adminError(error);
  const item = itemOf(wanted);
  switch (failure) {
    case 'missing':
      return { ...item, state: 'missing', ...createdAs(wanted) };
    case 'forbidden':
      return { ...item, state: 'forbidden', action: 'compare', said };
    case 'different':
      return { ...item, state: 'different', changes: await changesOf(broker, wanted, said), said };
    case 'unavailable':
      throw error;
  }
}

function createdAs({ what, spec }: Wanted): { type?: string; arguments: QueueSpec['arguments'] } {
  return what === 'exchange' ? { type: spec.type, arguments: spec.arguments } : { arguments: spec.arguments };
}

async function changesOf(broker: TopologyBroker, wanted: Wanted, said: string): Promise<Change[]> {
  if (wanted.what === 'queue') return queueChanges(broker, wanted.spec, said);
  const mismatch = readMismatch(said);
  if (!mismatch) return [];
  const { spec } = wanted;
  const value = mismatch.argument === 'type' ? spec.type : spec.arguments[mismatch.argument];
  return [{ ...mismatch, wanted: asText(value) }];
}

/**
 * Takes over what the broker said and asks again, until it has nothing more to say.
 * These questions hold foreign arguments, so they must not create a queue that someone deleted just now.
 */
async function queueChanges(broker: TopologyBroker, spec: QueueSpec, said: string): Promise<Change[]> {
  const changes: Change[] = [];
  const args: QueueSpec['arguments'] = { ...spec.arguments };
  for (let text: string | undefined = said; text !== undefined && changes.length < MOST_CHANGES; ) {
    const change = readMismatch(text);
    if (!change || change.argument in NEVER_CREATES || known(changes, change.argument)) break;
    changes.push({ ...change, wanted: wantedValue(spec, change.argument) });
    if (change.found === undefined || !change.argument.startsWith('x-')) break;
    takeOver(args, change.argument, change.found);
    text = await objection(broker, { name: spec.name, arguments: { ...args, ...NEVER_CREATES } });
  }
  return changes;
}

/**
 * A stream's argument, and not even a possible one. RabbitMQ compares only the arguments of the standing queue's
 * type, so this one is passed over; where there is no queue it refuses to create one with it (3.10 and 4.3).
 */
const NEVER_CREATES = { 'x-max-age': 'compare-only' };

function known(changes: Change[], argument: string): boolean {
  return changes.some((change) => change.argument === argument);
}

/** warren declares durable queues only; the rest of what it wants are arguments. */
function wantedValue(spec: QueueSpec, argument: string): string | null {
  return argument === 'durable' ? 'true' : asText(spec.arguments[argument]);
}

function takeOver(args: QueueSpec['arguments'], argument: string, found: string | null): void {
  if (found === null) delete args[argument];
  else if (found === 'true' || found === 'false') args[argument] = found === 'true';
  else args[argument] = /^-?\d+$/.test(found) ? Number(found) : found;
}

/** What the broker has against these arguments of a standing queue. */
async function objection(broker: TopologyBroker, spec: QueueSpec): Promise<string | undefined> {
  try {
    await broker.admin((channel) => channel.declareQueue(spec));
    return undefined;
  } catch (error) {
    const { failure, message } = adminError(error);
    return failure === 'different' ? message : undefined;
  }
}

function asText(value: string | number | boolean | undefined): string | null {
  return value === undefined ? null : String(value);
}

// --- creating ---

async function create(channel: AdminChannel, wanted: Wanted): Promise<void> {
  try {
    await declare(channel, wanted);
  } catch (error) {
    const { failure, message: said } = adminError(error);
    // Someone else was faster since we looked, and made it otherwise.
    if (failure === 'different') refuse([{ ...itemOf(wanted), state: 'different', changes: [], said }]);
    refuseForbidden(error, itemOf(wanted), 'create');
  }
}

async function bind(channel: AdminChannel, binding: BindingSpec): Promise<void> {
  try {
    await channel.bind(binding);
  } catch (error) {
    refuseForbidden(error, { what: 'queue', name: binding.queue }, 'bind');
  }
}

async function linkUp(channel: AdminChannel, link: LinkSpec): Promise<void> {
  try {
    await channel.link(link);
  } catch (error) {
    refuseForbidden(error, { what: 'exchange', name: link.to }, 'bind');
  }
}

function refuseForbidden(error: unknown, item: Item, action: ForbiddenAction): never {
  const { failure, message: said } = adminError(error);
  if (failure === 'forbidden') refuse([{ ...item, state: 'forbidden', action, said }]);
  throw error;
}

// --- the broker's words ---

async function lookFor(channel: AdminChannel, { what, name }: Wanted): Promise<void> {
  if (what === 'exchange') await channel.checkExchange(name);
  else await channel.checkQueue(name);
}

async function declare(channel: AdminChannel, { what, spec }: Wanted): Promise<void> {
  if (what === 'exchange') await channel.declareExchange(spec);
  else await channel.declareQueue(spec);
}

function adminError(error: unknown): { failure: AdminFailure; message: string } {
  if (error instanceof AdminError) return error;
  throw error;
}

/** `Promise.all`, a few at a time; after a failure nothing more is begun. */
async function inLanes<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const queue = each(items);
  const lane = async () => {
    for (const [index, item] of queue) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return results;
}

/** A generator, because leaving a loop over it early ends it for all who share it; an array's own iterator goes on. */
function* each<T>(items: readonly T[]): Generator<[number, T]> {
  yield* items.entries();
}
