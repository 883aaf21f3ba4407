import { ConfigurationError } from './errors.ts';

/** A length of time: a number of milliseconds, or text such as `'500ms'`, `'3s'`, `'8h20m'`, `'1d'`. */
export type Duration = number | string;

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
] as const;

const SHAPE = /^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/;

/** The longest duration that can be said: RabbitMQ takes no message TTL above it (ten years, in ms). */
export const LONGEST_DURATION_MS = 315_360_000_000;

/** Node's timers end here, and a longer one would fire at once. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Milliseconds of a duration, always a whole number.
 * @throws ConfigurationError when the value is no duration, is negative, or is longer than ten years.
 */
export function parseDuration(value: Duration, what = 'duration'): number {
  const ms = wholeMs(value);
  if (ms >= 0 && ms <= LONGEST_DURATION_MS) return ms;
  throw new ConfigurationError(
    `${what}: ${show(value)} is no duration; write '500ms', '3s', '5m', '8h20m', '1d' or a number of ms, at most ten years`,
  );
}

/** NaN for what is no duration; JavaScript callers pass anything. */
function wholeMs(value: unknown): number {
  if (typeof value === 'number') return Math.round(value);
  return typeof value === 'string' ? fromText(value.trim()) : Number.NaN;
}

function show(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

function fromText(text: string): number {
  const parts = SHAPE.exec(text);
  if (!parts || text === '') return Number.NaN;
  return UNITS.reduce((total, [, size], index) => total + Number(parts[index + 1] ?? 0) * size, 0);
}

/** Canonical text: largest unit first, no zero parts (`60000` is `'1m'`, `0` is `'0ms'`). */
export function formatDuration(ms: number): string {
  let rest = Math.round(ms);
  let text = '';
  for (const [unit, size] of UNITS) {
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text || '0ms';
}
