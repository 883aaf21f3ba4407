import { describe, expect, it } from '@jest/globals';
import { rhythmOf } from '../../../src/core/cron.ts';
import { ConfigurationError } from '../../../src/core/errors.ts';

/** The ticks in (from, to], as ISO texts. */
function ticks(expression: string, timeZone: string, from: string, to: string): string[] {
  const rhythm = rhythmOf(expression, timeZone, 'test');
  const found: string[] = [];
  for (
    let tick = rhythm.next(Date.parse(from));
    tick !== undefined && tick <= Date.parse(to);
    tick = rhythm.next(tick)
  )
    found.push(new Date(tick).toISOString().slice(0, 16));
  return found;
}

const berlin = 'Europe/Berlin';

describe('rhythmOf', () => {
  it('ticks after a moment, never at it', () => {
    const rhythm = rhythmOf('0 3 * * *', 'UTC', 'test');
    const three = Date.UTC(2026, 10, 22, 3);
    expect(rhythm.next(three - 1)).toBe(three);
    expect(rhythm.next(three)).toBe(three + 86_400_000);
  });

  it('takes seconds, nicknames, last days and numbered weekdays', () => {
    const after = Date.UTC(2026, 0, 1);
    const next = (expression: string) =>
      new Date(rhythmOf(expression, 'UTC', 'test').next(after) ?? 0).toISOString();
    expect(next('*/10 * * * * *')).toBe('2026-01-01T00:00:10.000Z');
    expect(next('@daily')).toBe('2026-01-02T00:00:00.000Z');
    expect(next('0 0 L * *')).toBe('2026-01-31T00:00:00.000Z');
    expect(next('0 0 * * MON#1')).toBe('2026-01-05T00:00:00.000Z');
  });

  it('keeps to the local time of its zone', () => {
    expect(ticks('0 3 * * *', berlin, '2026-03-27T12:00Z', '2026-03-30T12:00Z')).toEqual([
      '2026-03-28T02:00',
      '2026-03-29T01:00',
      '2026-03-30T01:00',
    ]);
    expect(ticks('0 9 * * *', 'Asia/Kolkata', '2026-01-01T00:00Z', '2026-01-02T00:00Z')).toEqual([
      '2026-01-01T03:30',
    ]);
  });

  it('in spring: an hour that is left out comes when it would be over', () => {
    expect(ticks('30 2 * * *', berlin, '2026-03-28T12:00Z', '2026-03-30T12:00Z')).toEqual([
      '2026-03-29T01:30',
      '2026-03-30T00:30',
    ]);
  });

  it('in autumn: a tick in the hour that comes twice comes once', () => {
    expect(ticks('30 2 * * *', berlin, '2026-10-24T12:00Z', '2026-10-26T12:00Z')).toEqual([
      '2026-10-25T00:30',
      '2026-10-26T01:30',
    ]);
  });

  it('what ticks every hour does so through both changes', () => {
    expect(ticks('0 * * * *', berlin, '2026-10-24T23:00Z', '2026-10-25T03:00Z')).toEqual([
      '2026-10-25T00:00',
      '2026-10-25T01:00',
      '2026-10-25T02:00',
      '2026-10-25T03:00',
    ]);
    expect(ticks('*/30 * * * *', berlin, '2026-03-29T00:00Z', '2026-03-29T02:00Z')).toEqual([
      '2026-03-29T00:30',
      '2026-03-29T01:00',
      '2026-03-29T01:30',
      '2026-03-29T02:00',
    ]);
    expect(ticks('*/30 * * * *', 'Australia/Lord_Howe', '2026-04-04T14:00Z', '2026-04-04T16:00Z')).toEqual([
      '2026-04-04T14:30',
      '2026-04-04T15:00',
      '2026-04-04T15:30',
      '2026-04-04T16:00',
    ]);
  });

  it('agrees with itself wherever it is asked from: the next tick never depends on how one came there', () => {
    for (const expression of ['*/7 * * * *', '15 2,3 * * *', '0 0 1 * *', '30 1-3 * * 0']) {
      const rhythm = rhythmOf(expression, berlin, 'test');
      for (const day of ['2026-03-29', '2026-10-25', '2026-06-01'])
        for (let minute = -120; minute < 300; minute += 13) {
          const from = Date.parse(`${day}T00:00Z`) + minute * 60_000;
          const tick = rhythm.next(from) as number;
          expect(rhythm.next(tick - 1)).toBe(tick);
          expect(rhythm.next(Math.floor((from + tick) / 2))).toBe(tick);
        }
    }
  });

  it('is fast enough to count the ticks of an outage', () => {
    const rhythm = rhythmOf('* * * * * *', berlin, 'test');
    const began = process.cpuUsage();
    let tick = 0;
    for (let count = 0; count < 1000; count++) tick = rhythm.next(tick) ?? 0;
    expect(tick).toBe(1_000_000);
    // What the processor did for it: a busy machine may take as long as it likes.
    expect(process.cpuUsage(began).user).toBeLessThan(2_000_000);
  });

  it('refuses what cannot be, and says whose it is', () => {
    expect(() => rhythmOf('61 * * * *', 'UTC', "schedule 'x'")).toThrow(ConfigurationError);
    expect(() => rhythmOf('61 * * * *', 'UTC', "schedule 'x'")).toThrow(/schedule 'x'.*61/);
    expect(() => rhythmOf('* * * * *', 'Europe/Nowhere', "schedule 'x'")).toThrow(/Europe\/Nowhere/);
  });

  it('says when there is nothing more to come', () => {
    expect(rhythmOf('0 0 31 2 *', 'UTC', 'test').next(0)).toBeUndefined();
  });
});
