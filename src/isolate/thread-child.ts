/** A worker thread: lighter than a process, with a heap of its own, and part of this process all the same. */
import { Worker } from 'node:worker_threads';
import { type Child, type Death, ENTRY, FROM_SOURCES, type MakeChild, urlOf, type Watcher } from './child.ts';
import { type Down, isOurs, ours, type Up } from './protocol.ts';
import { handOn, Tail } from './tail.ts';

export const makeThread: MakeChild = (birth, watcher) => {
  const options = { workerData: birth, stdout: true, stderr: true };
  const thread = FROM_SOURCES
    ? new Worker(withTsx(), { ...options, eval: true, execArgv: [] })
    : new Worker(ENTRY, options);
  return new ThreadChild(thread, watcher);
};

/** In a thread `--import tsx` comes too late for the entry itself. `require` finds its CommonJS half, beside the other. */
function withTsx(): string {
  const api = urlOf('tsx/esm/api').replace(/cjs$/, 'mjs');
  return `import(${JSON.stringify(api)})
    .then(({ register }) => { register(); return import(${JSON.stringify(ENTRY.href)}); });`;
}

class ThreadChild implements Child {
  readonly kind = 'thread';
  readonly #thread: Worker;
  readonly #tail = new Tail();
  #dead = false;

  constructor(thread: Worker, watcher: Watcher) {
    this.#thread = thread;
    thread.on('message', (said) => isOurs<Up>(said) && watcher.onMessage(said.warren));
    // Out of memory comes as an error, and then its exit.
    thread.on('error', (error) => this.#tail.add(`${error instanceof Error ? error.stack : error}\n`));
    thread.on('exit', (exitCode) => {
      const death: Death = { exitCode, signal: null, stderr: this.#tail.text };
      this.#dead = true;
      watcher.onDeath(death);
    });
    handOn(thread.stdout, (text) => void process.stdout.write(text));
    handOn(thread.stderr, (text) => {
      this.#tail.add(text);
      process.stderr.write(text);
    });
  }

  post(message: Down): void {
    if (this.#dead) return;
    if (message.kind === 'run') this.#tail.clear();
    this.#thread.postMessage(ours(message));
  }

  kill(): void {
    void this.#thread.terminate();
  }

  leave(): void {
    this.kill();
  }
}
