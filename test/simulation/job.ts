/** The job classes of a history; what a job does stands in its plan. */
import { dead, snooze } from '../../src/core/outcome.ts';
import { Job, type JobContext } from '../../src/job.ts';
import { childOf } from './children.ts';
import type { JobPlan, Step } from './history.ts';
import type { Run } from './ledger.ts';

export const ATTEMPTS = 3;
/** Ms after attempt 1 and 2. */
export const WAITS = [1000, 5000];
/** Longer than the longest delay queue: it waits twice. */
export const SNOOZE_MS = 7000;
export const TIMEOUT_MS = 8000;

/** What a run does to the world it happens in. */
export interface Surroundings {
  /** Notes the start and says what to do. */
  begin(id: string, context: JobContext): { run: Run; step: Step; plan: JobPlan };
  done(run: Run): void;
  failed(run: Run): void;
  snoozed(run: Run): void;
  over(run: Run): void;
  enqueued(child: string, parent: JobPlan): void;
  accepted(child: string): void;
  /** Takes down the process that runs it, after so many ms. */
  kill(run: Run, context: JobContext, ms: number): void;
}

let world: Surroundings;

export function performIn(surroundings: Surroundings): void {
  world = surroundings;
}

const NEVER = new Promise<never>(() => {});

export class SimulatedJob extends Job<{ id: string }> {
  static override queue = 'work';
  static override retry = { attempts: ATTEMPTS, backoff: ['1s', '5s'] as const };
  static override timeout = TIMEOUT_MS;

  perform({ id }: { id: string }, context: JobContext): unknown {
    const { run, step, plan } = world.begin(id, context);
    // A child that is given up takes its run with it.
    childOf(context)?.whenEnded(() => void (run.over || world.over(run)));
    if (step.does === 'kill') {
      world.kill(run, context, step.ms);
      return NEVER;
    }
    if (step.ms === 0 && step.does !== 'enqueue' && step.does !== 'hang') return finish(run, step);
    const onAbort = () => {
      // A timeout is a failure; a worker that stops is none.
      if ((context.signal.reason as Error).name === 'JobTimeoutError') world.failed(run);
    };
    context.signal.addEventListener('abort', onAbort);
    return this.#slowly(run, step, context, plan);
  }

  async #slowly(run: Run, step: Step, context: JobContext, plan: JobPlan): Promise<unknown> {
    await waited(step, context.signal, run);
    if (childOf(context)?.ended) return NEVER;
    if (step.does === 'enqueue') await this.#enqueue(run, context, plan);
    return finish(run, step);
  }

  async #enqueue(run: Run, { id, enqueue }: JobContext, plan: JobPlan): Promise<void> {
    const child = `${id}-child`;
    world.enqueued(child, plan);
    try {
      await enqueue(SimulatedJob, { id: child }, { id: child });
    } catch (error) {
      if (!run.over) world.failed(run);
      throw error;
    }
    world.accepted(child);
  }
}

export class IsolatedJob extends SimulatedJob {
  static override isolation = 'process' as const;
}

/** Every five seconds of the first minute. */
export class TickJob extends SimulatedJob {
  static override cron = { expression: '*/5 0 0 1 1 * 2030', missed: 'all' };

  override perform(_: unknown, context: JobContext): unknown {
    return super.perform({ id: context.id }, context);
  }
}

export const TICK_EVERY_MS = 5000;
export const LAST_TICK_MS = 55_000;

function finish(run: Run, step: Step): unknown {
  // It was timed out or taken back: nobody looks at how it ends.
  if (run.over) return undefined;
  switch (step.does) {
    case 'throw':
      world.failed(run);
      throw new Error('as planned');
    case 'dead':
      world.over(run);
      return dead('as planned');
    case 'snooze':
      world.snoozed(run);
      return snooze(SNOOZE_MS);
    default:
      world.done(run);
      return undefined;
  }
}

/** Until its time is over, or for ever; rejects when a job that obeys is told to stop. */
function waited({ does, ms, obeys }: Step, signal: AbortSignal, run: Run): Promise<void> {
  return new Promise((resolve, reject) => {
    if (does !== 'hang') setTimeout(resolve, ms);
    if (!obeys) return;
    signal.addEventListener('abort', () => {
      if (!run.over) world.over(run);
      reject(signal.reason);
    });
  });
}
