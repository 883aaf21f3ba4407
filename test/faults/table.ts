/** Verdicts as a Markdown table. */
import type { Verdict } from './oracle.ts';

export interface Row {
  what: string;
  verdict: Verdict;
}

const HEAD = [
  'fault',
  'accepted',
  'refused',
  'done',
  'dead',
  'waiting',
  'run twice',
  'done twice',
  'lost',
  'healed in',
];

export function tableOf(rows: readonly Row[]): string {
  const lines = [HEAD, HEAD.map((_, at) => (at === 0 ? '---' : '---:')), ...rows.map(cells)];
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n');
}

function cells({ what, verdict }: Row): string[] {
  const { accepted, refused, done, dead, waiting, parked, startedTwice, finishedTwice, lost, deleted } =
    verdict;
  const left = parked > 0 ? `${waiting} (${parked} parked)` : `${waiting}`;
  const numbers = [accepted, refused, done, dead, left, startedTwice, finishedTwice].map(String);
  const gone = deleted > 0 ? `${lost} (${deleted} deleted by the operator)` : `${lost}`;
  return [
    verdict.problems.length > 0 ? `**${what}: red**` : what,
    ...numbers,
    gone,
    seconds(verdict.healSeconds),
  ];
}

function seconds(value: number | undefined): string {
  return value === undefined ? 'never' : `${value.toFixed(1)} s`;
}
