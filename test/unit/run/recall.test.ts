import { describe, expect, it } from '@jest/globals';
import { Recall } from '../../../src/run/recall.ts';

const run = { attempt: 1, replays: 0, crashes: 0, enqueuedAt: 1_700_000_000_000 };

describe('what a process remembers of settled jobs', () => {
  it('knows the same run of the same id', () => {
    const recall = new Recall();
    recall.remember('a', run);
    expect(recall.has('a', { ...run })).toBe(true);
    expect(recall.has('b', run)).toBe(false);
  });

  it.each([
    ['the next attempt', { attempt: 2 }],
    ['a replay', { replays: 1 }],
    ['a run after a crash', { crashes: 1 }],
    ['the id enqueued again', { enqueuedAt: run.enqueuedAt + 1 }],
  ])('takes %s for another run', (_what, change) => {
    const recall = new Recall();
    recall.remember('a', run);
    expect(recall.has('a', { ...run, ...change })).toBe(false);
  });

  it('keeps the last 4,096, also once it was asked', () => {
    const recall = new Recall();
    for (let n = 0; n < 10_000; n++) {
      recall.remember(`job-${n}`, run);
      if (n === 5_000) expect(recall.has('job-5000', run)).toBe(true);
    }
    expect(recall.has('job-9999', run)).toBe(true);
    expect(recall.has(`job-${10_000 - 4_096}`, run)).toBe(true);
    expect(recall.has(`job-${10_000 - 4_097}`, run)).toBe(false);
  });

  it('keeps twice as many as can be held', () => {
    const recall = new Recall(10_000);
    for (let n = 0; n < 20_000; n++) recall.remember(`job-${n}`, run);
    expect(recall.has('job-0', run)).toBe(true);
  });

  it.each([
    [1, 2],
    [2, 1],
  ])('knows each of several runs of one id: a doubled job may end attempt %s, then %s', (one, other) => {
    const recall = new Recall();
    recall.remember('a', { ...run, attempt: one });
    expect(recall.has('a', { ...run, attempt: one })).toBe(true);
    recall.remember('a', { ...run, attempt: other });
    expect(recall.has('a', { ...run, attempt: one })).toBe(true);
    expect(recall.has('a', { ...run, attempt: other })).toBe(true);
  });

  it('ends its search where a place was given away, also to the same id', () => {
    const recall = new Recall();
    expect(recall.has('a', run)).toBe(false);
    for (let n = 0; n < 3 * 4_096 + 5; n++) {
      recall.remember(n % 7 === 0 ? 'a' : `job-${n}`, { ...run, attempt: n });
      if (n % 1_000 === 0) recall.has('a', run);
    }
    const last = 3 * 4_096 + 4;
    expect(recall.has('a', { ...run, attempt: last - (last % 7) })).toBe(true);
    expect(recall.has('a', { ...run, attempt: -1 })).toBe(false);
    const oldest = last - 4_095;
    expect(recall.has('a', { ...run, attempt: oldest + ((7 - (oldest % 7)) % 7) })).toBe(true);
  });

  it('keeps what ended twice for as long as the last time asks', () => {
    const recall = new Recall();
    recall.remember('a', run);
    for (let n = 0; n < 4_095; n++) recall.remember(n === 10 ? 'a' : `job-${n}`, run);
    expect(recall.has('a', run)).toBe(true);
    recall.remember('next', run);
    expect(recall.has('a', run)).toBe(true);
  });

  it('knows the last of several runs also when it was asked for the first time after a full round', () => {
    const recall = new Recall();
    for (let n = 0; n < 4_095; n++) recall.remember(`job-${n}`, run);
    recall.remember('a', run);
    recall.remember('a', { ...run, attempt: 2 });
    expect(recall.has('a', { ...run, attempt: 2 })).toBe(true);
  });

  it('does not trust the id alone, where a foreign publisher gave no moment', () => {
    const recall = new Recall();
    recall.remember('a', { ...run, enqueuedAt: undefined });
    expect(recall.has('a', { ...run, enqueuedAt: undefined })).toBe(false);
  });
});
