/** One worker process as its supervisor sees it: asked, pinged, told to stop, killed. */
import type { ChildProcess } from 'node:child_process';
import { LastWords } from './last-words.ts';
import { type Answers, isOurs, type Question, type ToSupervisor, type ToWorker } from './messages.ts';

/** How a worker process ended. */
export interface Death {
  /** Both null: it could not be started. */
  code: number | null;
  signal: NodeJS.Signals | null;
  uptimeMs: number;
  /** It had begun to consume. */
  begun: boolean;
  /** The last lines it wrote to stderr, without passwords of URLs. */
  lastWords: string[];
}

/** Who cannot be told apart from a stuck one has not answered so many pings. */
const PINGS = 6;
/** How long what it wrote last may take to be read, when it has ended. */
const READ_MS = 200;

export class WorkerProcess {
  readonly startedAt = performance.now();
  /** Never rejects. */
  readonly ended: Promise<Death>;
  /** It has declared and begun to consume. */
  begun = false;
  readonly #child: ChildProcess;
  readonly #answers = new Map<number, (answer: unknown) => void>();
  readonly #lastWords = new LastWords();
  #read: Promise<unknown> = Promise.resolve();
  #asked = 0;
  #unanswered = 0;

  constructor(child: ChildProcess, onBegun: () => void = () => {}) {
    this.#child = child;
    child.on('message', (message) => {
      if (isOurs<ToSupervisor>(message)) this.#take(message, onBegun);
    });
    this.#listenToStderr();
    this.ended = new Promise((resolve) => {
      const end = (code: number | null, signal: NodeJS.Signals | null) => resolve(this.#death(code, signal));
      child.once('exit', end);
      // Where nothing was started there is no exit; any other error (a message not sent) is followed by one.
      child.on('error', (error) => {
        this.#lastWords.say(error.message);
        if (child.pid === undefined) end(null, null);
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get uptimeMs(): number {
    return performance.now() - this.startedAt;
  }

  /** Undefined: it did not answer in time. */
  async ask<Q extends Question>(question: Q, withinMs: number): Promise<Answers[Q] | undefined> {
    const nr = ++this.#asked;
    return new Promise((resolve) => {
      const done = (answer: unknown) => {
        clearTimeout(timer);
        this.#answers.delete(nr);
        resolve(answer as Answers[Q] | undefined);
      };
      const timer = setTimeout(done, withinMs);
      this.#answers.set(nr, done);
      this.#send({ warren: 'ask', nr, question });
    });
  }

  /**
   * To be called six times in the time that a stuck process is given. Counted, not timed: a supervisor that was
   * itself stopped for an hour must not take its workers for stuck ones.
   * @returns whether it is stuck
   */
  ping(everyMs: number): boolean {
    if (this.#unanswered >= PINGS) return true;
    this.#unanswered += 1;
    void this.ask('ping', everyMs * PINGS);
    return false;
  }

  stop(why: string, graceMs: number): void {
    this.#send({ warren: 'stop', why, by: Date.now() + graceMs });
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #take(message: ToSupervisor, onBegun: () => void): void {
    this.#unanswered = 0;
    if (message.warren === 'answer') {
      this.#answers.get(message.nr)?.(message.answer);
      return;
    }
    this.begun = true;
    onBegun();
  }

  /** A process that is about to end may not take a message any more; its exit says what needs to be known. */
  #send(message: ToWorker): void {
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  #listenToStderr(): void {
    const { stderr } = this.#child;
    if (!stderr) return;
    stderr.on('data', (chunk: Buffer) => this.#lastWords.add(chunk));
    stderr.on('error', () => {}); // closed with its process
    this.#read = new Promise((read) => stderr.once('close', read));
  }

  async #death(code: number | null, signal: NodeJS.Signals | null): Promise<Death> {
    const { uptimeMs, begun } = this;
    for (const done of [...this.#answers.values()]) done(undefined);
    // Not for ever: its own children may hold the pipe.
    await Promise.race([this.#read, new Promise((late) => setTimeout(late, READ_MS))]);
    return { code, signal, uptimeMs, begun, lastWords: this.#lastWords.lines };
  }
}

/** Pings in the time that a stuck process is given. */
export const pingEveryMs = (stallMs: number) => Math.max(1, Math.round(stallMs / PINGS));
