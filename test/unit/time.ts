/** Time that stands still until a test moves it: however long the machine stalls, no timer comes before what it is for. */
import { jest } from '@jest/globals';

/**
 * Holds timers and `performance.now()`. What waits for no time goes on, as do dates, by which `until` keeps its
 * deadline. To be undone by `releaseTime`.
 */
export function holdTime(): void {
  jest.useFakeTimers({
    doNotFake: ['Date', 'hrtime', 'nextTick', 'queueMicrotask', 'setImmediate', 'clearImmediate'],
  });
}

export function releaseTime(): void {
  jest.useRealTimers();
}

/** Moves on by `ms`, firing what falls due on the way. */
export function pass(ms: number): Promise<void> {
  return jest.advanceTimersByTimeAsync(ms);
}
