/** When a job is to run that is not to run now. Pure. */
import { type Duration, formatDuration, parseDuration } from './duration.ts';
import { ConfigurationError } from './errors.ts';

/** At most one of the two; neither means now. */
export interface When {
  in?: Duration | undefined;
  at?: Date | undefined;
}

/**
 * The moment in ms since 1970, or undefined for now: a moment of the past is now.
 * @throws ConfigurationError for what is no time, both at once, or a moment more than `longestMs` away
 */
export function dueMoment({ in: wait, at }: When, now: number, longestMs: number): number | undefined {
  if (wait === undefined && at === undefined) return undefined;
  if (wait !== undefined && at !== undefined)
    throw new ConfigurationError("a job is enqueued either 'in' a while or 'at' a moment; say one of them");
  const ms = wait === undefined ? momentOf(at) - now : parseDuration(wait, 'in');
  if (ms > longestMs)
    throw new ConfigurationError(
      `'${wait === undefined ? 'at' : 'in'}' is ${formatDuration(ms)} away; a job can be enqueued for at most ${formatDuration(longestMs)} from now`,
    );
  return ms > 0 ? now + ms : undefined;
}

function momentOf(at: unknown): number {
  const ms = at instanceof Date ? at.getTime() : Number.NaN;
  if (Number.isNaN(ms)) throw new ConfigurationError(`'at' must be a Date that is one, not ${String(at)}`);
  return ms;
}
