/** The only place that writes to the terminal. Results go to stdout, everything said to people to stderr. */
import Table from 'cli-table3';
import { coloursAllowed } from '../config.ts';
import { redact } from '../core/redact.ts';

export type Cell = string | number | null | undefined;

export interface Output {
  /** The result for programs: with `--json` nothing else is written to stdout. */
  json(value: unknown): void;
  /** A table on a terminal, else tab-separated lines without a heading, for `cut` and `awk`. */
  table(heading: readonly string[], rows: readonly (readonly Cell[])[]): void;
  line(text: string): void;
  /** What a process of ours writes to its stderr, as it comes. */
  passOn(stderr: NodeJS.ReadableStream): void;
  /** To a person: progress, warnings, errors. */
  note(text: string): void;
}

export const output: Output = {
  json: (value) => write(`${JSON.stringify(value, null, 2)}\n`),
  table: (heading, rows) => write(process.stdout.isTTY ? drawn(heading, rows) : separated(rows)),
  line: (text) => write(`${printable(text)}\n`),
  // No pipe: each would hang five listeners on our stderr, and Node warns of a leak at the eleventh.
  passOn: (stderr) => void stderr.on('data', (chunk) => process.stderr.write(chunk)),
  note: (text) => void process.stderr.write(`warren: ${printable(redact(text))}\n`),
};

const toStdout: typeof process.stdout.write = process.stdout.write.bind(process.stdout);

function write(text: string): void {
  toStdout(text);
}

/** What a user's code prints, while it is imported above all, goes to stderr from now on: stdout is the result's. */
export function keepStdoutForResult(): void {
  process.stdout.write = process.stderr.write.bind(process.stderr) as typeof process.stdout.write;
}

/** Resolves when everything written has left the process: `process.exit` does not wait for a pipe. */
export async function flushed(): Promise<void> {
  await Promise.all([
    new Promise((done) => toStdout('', done)),
    new Promise((done) => process.stderr.write('', done)),
  ]);
}

function drawn(heading: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const colours = coloursAllowed() ? { head: ['bold'], border: ['gray'] } : { head: [], border: [] };
  const table = new Table({ head: [...heading], style: { ...colours, compact: true } });
  table.push(...rows.map((row) => row.map((cell) => short(shown(cell)))));
  return `${table.toString()}\n`;
}

function separated(rows: readonly (readonly Cell[])[]): string {
  return rows.map((row) => `${row.map((cell) => shown(cell).replace(/[\t\n]/g, ' ')).join('\t')}\n`).join('');
}

function shown(cell: Cell): string {
  return printable(String(cell ?? ''));
}

const WIDEST_CELL = 60;

function short(text: string): string {
  const [first = ''] = text.split('\n');
  return first.length > WIDEST_CELL ? `${first.slice(0, WIDEST_CELL - 1)}…` : first;
}

/** A message's text may hold control sequences that would take over the terminal. Line ends and tabs stay. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not get through
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '�');
}

/** A reader that went away (`warren … | head`) is no error, and a worker must not die of it. */
export function survivesItsReader(): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
}
