import { appendFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { Job, type JobContext } from 'warren';

export interface Order {
  /** Where each run leaves its lines, so that somebody can count afterwards. */
  ledger: string;
  seconds?: number;
}

/** Three seconds of work, and a line in a file before and after. The load is made by examples/order-66.ts. */
export class Order66 extends Job<Order> {
  static queue = 'order-66';

  async perform({ ledger, seconds = 3 }: Order, { id, attempt, signal }: JobContext) {
    const note = (what: string) =>
      appendFile(ledger, `${JSON.stringify({ id, attempt, pid: process.pid, what, at: Date.now() })}\n`);

    await note('start');
    await wait(seconds * 1000, undefined, { signal });
    await note('finish');
  }
}
