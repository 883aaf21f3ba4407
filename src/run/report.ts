/** Runs → events. What is emitted for every job is written as a literal: see core/events.ts. */
import type { AttemptInfo, EventBus } from '../core/events.ts';
import type { Outcome, RunResult } from '../core/outcome.ts';
import type { Run } from './run.ts';

export function reportStart(bus: EventBus, { id, registration, headers, delivery }: Run, at: Where): void {
  bus.emit('attempt.started', {
    id,
    job: registration.name,
    queue: at.queue,
    attempt: headers.attempt,
    waitMs: Math.max(0, at.now - (headers.dueAt ?? headers.enqueuedAt ?? at.now)),
    redelivered: delivery.redelivered,
  });
}

interface Where {
  queue: string;
  /** Ms since 1970. */
  now: number;
}

/** How a run ended; what became of the message is told where it is settled. */
export function reportEnd(bus: EventBus, info: Ended, result: RunResult, outcome: Outcome): void {
  switch (result.kind) {
    case 'returned':
      bus.emit('attempt.succeeded', info);
      break;
    case 'released':
    case 'unstarted':
      bus.emit('attempt.released', info);
      break;
    // It never began.
    case 'unfit':
      break;
    case 'crashed':
      reportCrash(bus, info, result, outcome);
      break;
    default:
      reportFailure(bus, info, result, outcome);
  }
}

type Ended = AttemptInfo & { durationMs: number };

function reportFailure(
  bus: EventBus,
  { id, job, queue, attempt, durationMs }: Ended,
  { kind, error }: Extract<RunResult, { kind: 'threw' | 'timed-out' }>,
  outcome: Outcome,
): void {
  const willRetry = outcome.kind === 'retry';
  const event = { id, job, queue, attempt, durationMs, error, willRetry };
  bus.emit(kind === 'threw' ? 'attempt.failed' : 'attempt.timed-out', event);
}

function reportCrash(
  bus: EventBus,
  info: Ended,
  { error, crashes }: Extract<RunResult, { kind: 'crashed' }>,
  outcome: Outcome,
): void {
  bus.emit('job.crashed', { ...info, crashes: crashes + 1, error, willRetry: outcome.kind === 'retry' });
}
