/**
 * A file in which jobs write down what they did (note.js), line by line: what a test believes, whatever the product says.
 * A line is one write of less than a page at the end of the file, so lines of several processes never mix,
 * and what was written stays when its process is killed.
 */
import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export interface Entry {
  id: string;
  attempt: number;
  pid: number;
  /** `fail`: about to throw, as the test wants it. */
  what: 'start' | 'finish' | 'fail';
  /** Ms since 1970. */
  at: number;
}

export interface Tally {
  accepted: number;
  /** Accepted, and finished at least once. */
  done: number;
  /** Accepted and never finished. */
  lost: string[];
  /** Started more than once, finished or not. */
  startedAgain: string[];
  /** Finished more than once. */
  doneAgain: string[];
  /** Finished, and never accepted: its enqueue ended in an error, as it may. */
  unasked: string[];
}

export class Ledger {
  readonly path = join(mkdtempSync(join(tmpdir(), 'warren-ledger-')), 'ledger.jsonl');
  readonly #entries: Entry[] = [];
  /** Bytes of the file that are in `#entries`: tests look again and again, and it only grows. */
  #read = 0;

  /** All whole lines so far. */
  get entries(): Entry[] {
    const added = this.#rest();
    const whole = added.subarray(0, added.lastIndexOf(10) + 1);
    this.#read += whole.length;
    for (const line of whole.toString().split('\n').slice(0, -1))
      this.#entries.push(JSON.parse(line) as Entry);
    return [...this.#entries];
  }

  /** What was written since. */
  #rest(): Buffer {
    const file = openSync(this.path, 'a+'); // made where no job has begun yet
    try {
      const rest = Buffer.alloc(fstatSync(file).size - this.#read);
      return rest.subarray(0, readSync(file, rest, 0, rest.length, this.#read));
    } finally {
      closeSync(file);
    }
  }

  starts(): Entry[] {
    return this.entries.filter(({ what }) => what === 'start');
  }

  finishes(): Entry[] {
    return this.entries.filter(({ what }) => what === 'finish');
  }

  tally(accepted: Iterable<string>): Tally {
    const ids = new Set(accepted);
    const [started, finished] = [times(this.starts()), times(this.finishes())];
    const again = (counts: Map<string, number>) => [...counts].filter(([, n]) => n > 1).map(([id]) => id);
    return {
      accepted: ids.size,
      done: [...ids].filter((id) => finished.has(id)).length,
      lost: [...ids].filter((id) => !finished.has(id)),
      startedAgain: again(started),
      doneAgain: again(finished),
      unasked: [...finished.keys()].filter((id) => !ids.has(id)),
    };
  }

  remove(): void {
    rmSync(dirname(this.path), { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    this.remove();
  }
}

function times(entries: Entry[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { id } of entries) counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
}
