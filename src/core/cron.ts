/** Cron expressions as moments: which tick comes after one. Pure; the reading of expressions is croner's. */
import { Cron } from 'croner';
import { ConfigurationError } from './errors.ts';

export interface Rhythm {
  readonly expression: string;
  /** IANA name. */
  readonly timeZone: string;
  /** The first tick after this moment (both ms since 1970); undefined: there is none any more. */
  next(after: number): number | undefined;
}

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
const QUARTER_MS = 15 * MINUTE_MS;
const MOST_REMEMBERED = 256;

/** One that never ticks is none that cannot be. @throws ConfigurationError for an expression or a time zone that cannot be */
export function rhythmOf(expression: string, timeZone: string, owner: string): Rhythm {
  const offset = offsetsOf(timeZone, owner);
  const within = withinZone(expression, timeZone, owner);
  const shifted = new Map<number, Cron>();
  const at = (minutes: number) => {
    const known = shifted.get(minutes) ?? new Cron(expression, { utcOffset: minutes, paused: true });
    shifted.set(minutes, known);
    return known;
  };
  const everyHour = hoursOf(expression) === '*';

  /**
   * While the clocks do not change, a zone is an offset, and with an offset croner is a hundred times as fast.
   * At a change it knows what to do with an expression that names hours: a tick in the hour that is left out comes
   * when that hour is over, one in the hour that comes twice comes once. One that says every hour must not pause
   * for that hour, which is what croner makes of it: there each hour counts, as on a clock that is not changed.
   */
  const next = (after: number): number | undefined => {
    const before = offset(after);
    const tick = at(before).nextRun(new Date(after))?.getTime();
    if (tick !== undefined && tick - after <= DAY_MS) {
      if (offset(tick) === before) return tick;
      if (everyHour) {
        const change = changeBetween(after, tick, offset);
        return at(offset(change))
          .nextRun(new Date(change - 1))
          ?.getTime();
      }
    }
    return within.nextRun(new Date(after))?.getTime();
  };
  return { expression, timeZone, next };
}

function withinZone(expression: string, timezone: string, owner: string): Cron {
  try {
    return new Cron(expression, { timezone, paused: true });
  } catch (error) {
    const { message } = error as Error;
    throw new ConfigurationError(
      `${owner}: cron expression ${JSON.stringify(expression)} cannot be used: ${message}`,
    );
  }
}

function hoursOf(expression: string): string | undefined {
  const fields = expression.trim().split(/\s+/);
  if (fields.length === 1) return /^@(hourly|minutely|secondly)$/i.test(expression.trim()) ? '*' : undefined;
  return fields.length === 5 ? fields[1] : fields[2];
}

/** Minutes east of Greenwich at a moment. */
function offsetsOf(timeZone: string, owner: string): (moment: number) => number {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  } catch {
    throw new ConfigurationError(
      `${owner}: time zone ${JSON.stringify(timeZone)} is not known; write one as 'Europe/Berlin' or 'UTC'`,
    );
  }
  const offsetOfSlot = (moment: number) => {
    const parts = new Map(format.formatToParts(moment).map(({ type, value }) => [type, Number(value)]));
    const part = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? 0;
    const date = Date.UTC(part('year'), part('month') - 1, part('day'));
    return Math.round((date - moment) / MINUTE_MS) + part('hour') * 60 + part('minute');
  };
  return remembered(offsetOfSlot);
}

/** Clocks change on a quarter of an hour, so what holds at its beginning holds through it. */
function remembered(offset: (moment: number) => number): (moment: number) => number {
  const known = new Map<number, number>();
  return (moment) => {
    const slot = Math.floor(moment / QUARTER_MS) * QUARTER_MS;
    const found = known.get(slot) ?? offset(slot);
    if (known.size >= MOST_REMEMBERED) known.clear();
    known.set(slot, found);
    return found;
  };
}

/** The first moment of the new offset. */
function changeBetween(from: number, to: number, offset: (moment: number) => number): number {
  const before = offset(from);
  let slot = Math.floor(from / QUARTER_MS) * QUARTER_MS;
  while (slot <= to && offset(slot) === before) slot += QUARTER_MS;
  return slot;
}
