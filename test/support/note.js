/** For the jobs of fixtures: one line more in the ledger (see ledger.ts). JavaScript: such a worker is up sooner. */
import { appendFileSync } from 'node:fs';

/** @param {'start' | 'finish' | 'fail'} what @param {{ id: string, attempt: number }} context */
export function note(what, { id, attempt }) {
  const line = JSON.stringify({ id, attempt, pid: process.pid, what, at: Date.now() });
  appendFileSync(process.env.LEDGER ?? '', `${line}\n`);
}
