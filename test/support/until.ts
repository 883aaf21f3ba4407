/** Waiting for something outside this process. The only place in the tests where time passes by itself. */
import { setTimeout as pause } from 'node:timers/promises';

export interface UntilOptions {
  /** Deadline in ms. */
  within?: number;
  /** What is waited for, in words: the message of a failure. */
  what?: string;
  /** ms between two looks. */
  every?: number;
}

/**
 * Resolves with the first truthy value of `condition`; a condition that throws counts as not yet. The last look begins
 * after the deadline, so that a machine that stood still meanwhile is given one.
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  { within = 30_000, what = 'a condition', every = 20 }: UntilOptions = {},
): Promise<NonNullable<T>> {
  const deadline = Date.now() + within;
  let last: unknown;
  for (;;) {
    const isLast = Date.now() >= deadline;
    try {
      const value = await condition();
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (isLast) throw tooLate(what, within, last);
    await pause(every);
  }
}

function tooLate(what: string, within: number, last: unknown): Error {
  const seen = last instanceof Error ? last.message : String(last);
  return new Error(`waited ${within} ms for ${what}; last seen: ${seen}`, { cause: last });
}
