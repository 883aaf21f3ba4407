/**
 * What stands on the broker and is not what the plan wants, as plain data and in words. Pure.
 * RabbitMQ tells of one differing argument at a time, in the text of its 406; 3.10 and 4.3 use the same words.
 */
import type { BindingSpec } from './plan.ts';

/** An exchange or a queue of a plan. */
export interface Item {
  what: 'exchange' | 'queue';
  name: string;
}

/** One property that stands otherwise. `null`: it is not there; `undefined`: the broker did not say what it is. */
export interface Change {
  argument: string;
  wanted: string | null;
  found: string | null | undefined;
}

/** What could not be done for lack of permission. */
export type ForbiddenAction = 'compare' | 'create' | 'bind';

export type Difference =
  /** `type`: of an exchange. `arguments`: with which it is to be created. */
  | (Item & { state: 'missing'; type?: string; arguments: Record<string, string | number | boolean> })
  /** `said`: the broker's own words. `changes` may be incomplete, and is empty where those words were not understood. */
  | (Item & { state: 'different'; changes: Change[]; said: string })
  | (Item & { state: 'forbidden'; action: ForbiddenAction; said: string });

export interface TopologyDiff {
  differences: Difference[];
  /** Stands as it should. */
  fine: Item[];
  /** AMQP 0-9-1 cannot tell whether a binding is there; `apply` makes them all, which repeats harmlessly. */
  uncheckedBindings: BindingSpec[];
}

/** What a 406 says about one argument. */
export interface Mismatch {
  argument: string;
  found: string | null | undefined;
}

const ARGUMENT = /inequivalent arg '([^']+)'/;
/** `none`, `'5000'` or `the value '5000' of type 'short'`; it ends the text. A long name makes the broker cut it off before. */
const FOUND = /but current is (?:none|(?:the value )?'(.*?)'(?: of type '\w+')?)"?\s*$/;

/** @returns undefined when the text is about something else */
export function readMismatch(text: string): Mismatch | undefined {
  const argument = ARGUMENT.exec(text)?.[1];
  if (argument === undefined) return undefined;
  const found = FOUND.exec(text);
  return { argument, found: found ? (found[1] ?? null) : undefined };
}

/** How an item is called in lists and messages. */
export function labelOf({ what, name }: Item): string {
  return `${what} ${name}`;
}

/** One line a person understands, with what to do. */
export function describeDifference(difference: Difference): string {
  const item = labelOf(difference);
  switch (difference.state) {
    case 'missing':
      return `${item} does not exist; 'warren topology apply' creates it`;
    case 'forbidden':
      return `${item} ${FORBIDDEN[difference.action]} (${inBrief(difference.said)})`;
    case 'different':
      return `${item} exists ${found(difference)}; RabbitMQ cannot change it: ${WAY_OUT[difference.what]}, see docs/operations.md`;
  }
}

const FORBIDDEN: Record<ForbiddenAction, string> = {
  compare: 'could not be compared: this user has no permission to configure it',
  create: 'could not be created: this user lacks a permission',
  bind: 'could not be bound: this user lacks the permission to write to it or to read its exchange',
};

const WAY_OUT: Record<Item['what'], string> = {
  queue: 'publish to a new name, or drain and delete it',
  exchange: 'stop what publishes to it, delete it and apply again',
};

function found({ changes, said }: Extract<Difference, { state: 'different' }>): string {
  if (changes.length === 0) return `and differs from what is wanted (${inBrief(said)})`;
  const type = changes.find(({ argument }) => argument === 'x-queue-type');
  // A queue of another type differs in much else too, and nothing else matters then.
  return type ? otherType(type) : changes.map(otherArgument).join(', and ');
}

/** Before 4.0 a queue without this argument is a classic one. */
function otherType({ wanted, found }: Change): string {
  return `as a ${found ?? 'classic'} queue, wanted a ${wanted ?? 'classic'} one`;
}

function otherArgument({ argument, wanted, found }: Change): string {
  return `${standing(argument, found)}, wanted ${wanted ?? 'none'}`;
}

function standing(argument: string, found: Change['found']): string {
  if (found === undefined) return `with another ${argument}`;
  return found === null ? `without ${argument}` : `with ${argument} ${found}`;
}

/** `PRECONDITION_FAILED - no such thing` out of the long form that amqplib makes of it. */
function inBrief(said: string): string {
  return /with message "(.*)"$/s.exec(said)?.[1] ?? said;
}
