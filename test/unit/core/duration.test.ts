import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { formatDuration, LONGEST_DURATION_MS, parseDuration } from '../../../src/core/duration.ts';
import { ConfigurationError } from '../../../src/core/errors.ts';

const anyMs = fc.integer({ min: 0, max: LONGEST_DURATION_MS });

describe('parseDuration', () => {
  it.each([
    ['500ms', 500],
    ['3s', 3_000],
    ['90s', 90_000],
    ['5m', 300_000],
    ['8h20m', 30_000_000],
    ['1d', 86_400_000],
    ['1d2h3m4s5ms', 93_784_005],
    [' 3s ', 3_000],
    ['0s', 0],
    [250, 250],
    [0, 0],
    [1.5, 2],
    ['3650d', LONGEST_DURATION_MS],
  ])('reads %p as %p ms', (value, ms) => {
    expect(parseDuration(value)).toBe(ms);
  });

  it.each([
    '',
    ' ',
    '3',
    's',
    '3 s',
    '1.5s',
    '-3s',
    '3S',
    '20m8h',
    '3s3s',
    '3651d',
    `${'9'.repeat(400)}d`,
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    LONGEST_DURATION_MS + 1,
  ])('refuses %p', (value) => {
    expect(() => parseDuration(value, 'job Mail: timeout')).toThrow(ConfigurationError);
    expect(() => parseDuration(value, 'job Mail: timeout')).toThrow(
      /^job Mail: timeout: .* is no duration; write /,
    );
  });

  it.each([null, undefined, {}, [], true, 10n, Symbol('3s'), new Date(0)])(
    'refuses %p of a JavaScript caller',
    (value) => {
      expect(() => parseDuration(value as never)).toThrow(ConfigurationError);
    },
  );

  it('gives a whole number of ms, or throws its own error', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.double()), (value) => {
        try {
          expect(Number.isSafeInteger(parseDuration(value))).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigurationError);
        }
      }),
    );
  });
});

describe('formatDuration', () => {
  it.each([
    [0, '0ms'],
    [1, '1ms'],
    [1_500, '1s500ms'],
    [60_000, '1m'],
    [90_000, '1m30s'],
    [3_000_000, '50m'],
    [30_000_000, '8h20m'],
    [86_400_000, '1d'],
    [LONGEST_DURATION_MS, '3650d'],
  ])('writes %p ms as %p', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it('is read back as the same length of time', () => {
    fc.assert(fc.property(anyMs, (ms) => expect(parseDuration(formatDuration(ms))).toBe(ms)));
  });

  it('has one text for one length: largest unit first, no zero parts, none that the next unit could hold', () => {
    fc.assert(
      fc.property(anyMs, (ms) => {
        const text = formatDuration(ms);
        expect(text).toMatch(/^(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$/);
        if (ms > 0) expect(text).not.toMatch(/(^|[a-z])0/);
        expect(formatDuration(parseDuration(text))).toBe(text);
        for (const [, count, unit] of text.matchAll(/(\d+)([a-z]+)/g))
          expect(Number(count)).toBeLessThan({ d: 3651, h: 24, m: 60, s: 60, ms: 1000 }[unit as 'd']);
      }),
    );
  });
});
