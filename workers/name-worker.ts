import { setTimeout as wait } from 'node:timers/promises';
import { Job, type JobContext } from 'warren';

export interface Visit {
  name: string;
  /** Fail this many attempts first, to see what happens then: 1 shows `delayed-3s`, 2 `delayed-30s` as well. */
  failures?: number;
}

/** Enqueued by the page at `/?name=foo`. Works for ten seconds, then says so in the worker's log. */
export class NameWorker extends Job<Visit> {
  async perform({ name, failures = 0 }: Visit, { attempt, signal, log }: JobContext) {
    if (attempt <= failures) throw new Error(`attempt ${attempt} fails because it was asked to`);

    log.info(`working for ${name}, ten seconds`);
    await wait(10_000, undefined, { signal });
    log.info(`success: hello ${name}`);
  }
}
