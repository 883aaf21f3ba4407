/** What a supervisor and its workers say to each other over IPC. */
import type { MetricObjectWithValues, MetricValue } from 'prom-client';
import type { Health } from '../health.ts';

/** A worker's metrics as data, histograms with the names of their series. */
export type MetricData = MetricObjectWithValues<MetricValue<string>>;

/** What may be asked of a worker, and what it answers. */
export interface Answers {
  /** Only that its event loop turns. */
  ping: true;
  /** Why it does not consume as it should; empty: it does. */
  ready: readonly string[];
  health: Health;
  metrics: readonly MetricData[];
}

export type Question = keyof Answers;

export type ToWorker =
  | { warren: 'ask'; nr: number; question: Question }
  /** Everything must have ended at `by`, in ms since 1970. */
  | { warren: 'stop'; why: string; by: number };

export type ToSupervisor =
  /** It has declared and begun to consume. */
  { warren: 'begun' } | { warren: 'answer'; nr: number; answer: Answers[Question] | undefined };

/** The channel is the user's as well: what is not ours is left alone. */
export function isOurs<T extends ToWorker | ToSupervisor>(message: unknown): message is T {
  return typeof message === 'object' && message !== null && 'warren' in message;
}
