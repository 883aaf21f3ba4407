/** What a child writes: handed on line by line, so that it never lands within a log line, and its end is kept. */
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { redact } from '../core/redact.ts';

/** Enough for a stack, and far below what a header table may hold. */
const KEPT_CHARS = 3_000;
/** A line longer than this is handed on in parts. */
const LONGEST_LINE = 64 * 1024;

/** The last of it, without passwords. */
export class Tail {
  #text = '';

  get text(): string {
    return this.#text.trim();
  }

  add(text: string): void {
    // Before it is cut: half a URL is not known for one.
    this.#text = redact(this.#text + text).slice(-KEPT_CHARS);
  }

  clear(): void {
    this.#text = '';
  }
}

/** Writes whole lines of `from` with `write`. */
export function handOn(from: Readable, write: (text: string) => void): void {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  from.on('data', (chunk: Buffer) => {
    const text = rest + decoder.write(chunk);
    const end = text.length > LONGEST_LINE ? text.length : text.lastIndexOf('\n') + 1;
    if (end > 0) write(text.slice(0, end));
    rest = text.slice(end);
  });
  from.on('end', () => {
    if (rest !== '') write(`${rest}\n`);
  });
  // A pipe that breaks with its child has nothing more to say.
  from.on('error', () => {});
}
