/**
 * Any-time delays: level n holds what comes to it for 2^n seconds, so the bits of a delay say which levels
 * make it up. A message enters at its highest bit, by the exchange `jobs.later`, and goes down, through each level
 * whose bit is set, to `jobs.due`. Its routing key is that of its work queue all the way; the bits travel as further keys, in the
 * header `CC`, which RabbitMQ routes by as well. So `jobs.due` stays a direct exchange, and no name of a queue,
 * however long and with whatever dots, gets into the bits. docs/decisions/0010-levels-by-a-second-key.md
 *
 * Names and pure maths only.
 */
import type { ExchangeSpec } from './exchanges.ts';
import type { Names } from './names.ts';
import type { BindingSpec, LinkSpec } from './plan.ts';
import type { QueueSpec } from './queues.ts';

export const LEVELS = 28;
/** In seconds: the delay that waits on every level, about eight and a half years. */
export const LONGEST_LEVELS_S = 2 ** LEVELS - 1;

/**
 * The bits are cut into groups, each a key of its own, because RabbitMQ looks up every word of every key: a key of
 * all 28 takes it twice as long, and so does a pattern that ends in `#`.
 */
const GROUP = 7;
/** Before the number of a group. No queue's name begins with it, so no binding takes a queue's name for bits. */
const MARK = '@';

/** Where a delay begins, and the keys that lead it there and on. */
export interface LevelRoute {
  level: number;
  /**
   * `@12` leads to level 12, `@1.0.0.1.1.1.0.0` on from there: a group and its bits, the highest first. Without the
   * groups above `level`.
   */
  keys: string[];
}

/** @param seconds whole, from 1 to LONGEST_LEVELS_S */
export function levelRoute(seconds: number): LevelRoute {
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > LONGEST_LEVELS_S)
    throw new RangeError(`${seconds} s is no delay for the levels: 1 to ${LONGEST_LEVELS_S}`);
  const level = 31 - Math.clz32(seconds);
  const keys = [entryKey(level)];
  for (let group = groupOf(level); group >= 0; group--) keys.push(keyOf(group, seconds >>> (group * GROUP)));
  return { level, keys };
}

function entryKey(level: number): string {
  return `${MARK}${String(level).padStart(2, '0')}`;
}

function groupOf(level: number): number {
  return Math.floor(level / GROUP);
}

function keyOf(group: number, bits: number): string {
  let key = `${MARK}${group}`;
  for (let bit = GROUP - 1; bit >= 0; bit--) key += (bits >>> bit) & 1 ? '.1' : '.0';
  return key;
}

/** As many whole seconds as are not shorter: nothing may come back early. */
export function levelSeconds(ms: number): number {
  return Math.max(0, Math.ceil(ms / 1000));
}

const ALL = Array.from({ length: LEVELS }, (_, level) => level);

/** What the levels are made of, lowest first: what one dead-letters or leads to stands before it. */
export function levelExchanges(names: Names): ExchangeSpec[] {
  return [
    ...ALL.map((level) => ({ name: names.level(level), type: 'topic' as const, arguments: {} })),
    { name: names.later, type: 'direct', arguments: {} },
  ];
}

/** Never `x-expires`: a queue that expires does not dead-letter what it holds. */
export function levelQueues(names: Names): QueueSpec[] {
  return ALL.map((level) => ({
    name: names.level(level),
    arguments: {
      'x-queue-type': 'quorum',
      'x-message-ttl': 1000 * 2 ** level,
      'x-dead-letter-exchange': below(names, level),
      'x-dead-letter-strategy': 'at-least-once',
      'x-overflow': 'reject-publish',
    },
  }));
}

/** Whose bit is set waits here. It enters by a direct exchange, which RabbitMQ looks up in a fraction of the time. */
export function levelBindings(names: Names): BindingSpec[] {
  return ALL.flatMap((level) => [
    { exchange: names.level(level), queue: names.level(level), routingKey: whereBitIs(1, level) },
    { exchange: names.later, queue: names.level(level), routingKey: entryKey(level) },
  ]);
}

/** Whose bit is not set goes on to the level below at once, and from the last one to its work queue. */
export function levelLinks(names: Names): LinkSpec[] {
  return ALL.map((level) => ({
    from: names.level(level),
    to: below(names, level),
    routingKey: whereBitIs(0, level),
  }));
}

function below(names: Names, level: number): string {
  return level === 0 ? names.due : names.level(level - 1);
}

function whereBitIs(bit: 0 | 1, level: number): string {
  const words: (string | number)[] = Array(GROUP).fill('*');
  words[GROUP - 1 - (level % GROUP)] = bit;
  return [`${MARK}${groupOf(level)}`, ...words].join('.');
}
