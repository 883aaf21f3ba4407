/**
 * Errors that nobody caught. In the code of a job they are its failed attempt; elsewhere they are told.
 * Without a listener Node ends the process at the first of them, and every job beside it with it.
 */
import type { EventBus } from '../core/events.ts';
import { currentAttempt } from './attempt.ts';

/** Installs the process-wide listeners; returns the function that removes them. */
export function catchUnhandled(bus: EventBus, onFatal: (error: unknown) => void): () => void {
  const rejected = (error: unknown) => {
    if (!blame(error, bus)) bus.emit('rejection.unhandled', { error });
  };
  const thrown = (error: unknown) => {
    if (blame(error, bus)) return;
    // State that no job owns may be broken: stop in order, so that nothing is lost, and let it be restarted.
    bus.emit('rejection.unhandled', { error });
    onFatal(error);
  };
  process.on('unhandledRejection', rejected);
  process.on('uncaughtException', thrown);
  return () => {
    process.off('unhandledRejection', rejected);
    process.off('uncaughtException', thrown);
  };
}

/** True when the error comes from a job: its attempt fails with it, or is told of when it has ended already. */
function blame(error: unknown, bus: EventBus): boolean {
  const attempt = currentAttempt();
  if (!attempt) return false;
  if (attempt.ended) bus.emit('rejection.unhandled', { error, id: attempt.id, job: attempt.job });
  attempt.end({ kind: 'threw', error });
  return true;
}
