/** Puts the table of settings between its marks in the Markdown files: node --import tsx bin/settings-table.ts */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { settingsTable } from '../src/config/document.ts';

export const FILES = ['README.md', 'docs/configuration.md'];
const [BEGIN, END] = ['<!-- settings:begin -->', '<!-- settings:end -->'];

/** The text with its table renewed; the same text where it has no marks. */
export function renewed(text: string): string {
  const [before, rest] = text.split(BEGIN);
  const after = rest?.split(END)[1];
  return after === undefined ? text : `${before}${BEGIN}\n${settingsTable()}\n${END}${after}`;
}

export function hasMarks(text: string): boolean {
  return text.includes(BEGIN) && text.includes(END);
}

if (process.argv[1] === import.meta.filename)
  for (const file of FILES.filter((name) => existsSync(name)))
    writeFileSync(file, renewed(readFileSync(file, 'utf8')));
