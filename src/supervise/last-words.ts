/** The last lines of what a process writes to stderr, whatever it writes: a report of its death needs no more. */
import { StringDecoder } from 'node:string_decoder';
import { redact } from '../core/redact.ts';

/** Node's own report of a heap that is full has some thirty lines, and says why in the middle of them. */
const MOST_LINES = 40;
const LONGEST_LINE = 1_000;
/** More of a line without an end is dropped; enough that no URL which begins in the part that is shown is cut here. */
const LONGEST_REST = 4_000;

export class LastWords {
  readonly #decoder = new StringDecoder('utf8');
  readonly #lines: string[] = [];
  /** Of a line that may go on. */
  #rest = '';

  add(chunk: Buffer): void {
    const [first = '', ...more] = this.#decoder.write(chunk).split('\n');
    this.#goOn(first);
    for (const part of more) {
      this.#keep(this.#rest);
      this.#rest = '';
      this.#goOn(part);
    }
  }

  /** Also the last one, which nobody may have ended. */
  get lines(): string[] {
    const last = shown(this.#rest);
    return last === '' ? [...this.#lines] : [...this.#lines, last].slice(-MOST_LINES);
  }

  /** Of ourselves, about the process. */
  say(line: string): void {
    this.#keep(line);
  }

  #goOn(part: string): void {
    this.#rest = (this.#rest + part.slice(0, LONGEST_REST)).slice(0, LONGEST_REST);
  }

  #keep(line: string): void {
    const text = shown(line);
    if (text === '') return;
    this.#lines.push(text);
    if (this.#lines.length > MOST_LINES) this.#lines.shift();
  }
}

/** Without passwords before it is cut: half a URL is not known for one. */
function shown(line: string): string {
  const whole = line.length < LONGEST_REST ? line : line.replace(UNFINISHED_URL, '');
  return redact(whole).slice(0, LONGEST_LINE).trimEnd();
}

const UNFINISHED_URL = /:\/\/[^\s"]*$/;
