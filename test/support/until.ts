/** Waiting for something outside this process. The only place in the tests where time passes by itself. */
import { setTimeout as pause } from 'node:timers/promises';

export interface UntilOptions {
  /** Deadline in ms. */
  within?: number;
  /** What is waited for, in words: the message of a failure. */
  what?: string;
  /** ms between two looks; default: a tenth of the time waited so far, from 10 to 100. */
  every?: number;
}

/**
 * Resolves with the first truthy value of `condition`; a condition that throws counts as not yet. The last look begins
 * after the deadline, so that a machine that stood still meanwhile is given one.
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  { within = 30_000, what = 'a condition', every }: UntilOptions = {},
): Promise<NonNullable<T>> {
  const began = Date.now();
  const deadline = began + within;
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
    // Each look takes time from what is waited for, so a long wait hears of its end a little later.
    await pause(every ?? Math.min(100, Math.max(10, (Date.now() - began) / 10)));
  }
}

function tooLate(what: string, within: number, last: unknown): Error {
  const seen = last instanceof Error ? last.message : String(last);
  return new Error(`waited ${within} ms for ${what}; last seen: ${seen}`, { cause: last });
}
