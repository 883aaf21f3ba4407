/** One run of a job, wherever it goes on: in this process (`attempt.ts`) or in a child (`src/isolate/`). */
import type { Delivery } from '../broker/broker.ts';
import type { JobHeaders } from '../core/headers.ts';
import type { Outcome, RunResult } from '../core/outcome.ts';
import type { Registration } from '../core/registry.ts';

export interface Run {
  readonly id: string;
  readonly registration: Registration;
  readonly headers: JobHeaders;
  /** Where it will be settled: replaced when the broker hands the message out again. */
  delivery: Delivery;
  readonly durationMs: number;
  readonly ended: boolean;
  /** False: it still waits for a child to run in. */
  readonly begun: boolean;
  /** Asks the job to stop, for this reason. */
  abort(reason: Error): void;
  /** Ends the run, if it has not ended: what comes later from `perform` is not looked at. */
  end(result: RunResult): void;
}

/** One that goes on in a child. */
export interface ChildRun extends Run {
  /** `onBegan`: `perform` is called now; left out for bad input. `onEnd`: once, always. */
  start(onBegan: () => void, onEnd: OnEnd): void;
}

/** Called once a run. `outcome` comes with it where it was decided in a child, which has the error itself. */
export type OnEnd = (run: Run, result: RunResult, outcome?: Outcome) => void;
