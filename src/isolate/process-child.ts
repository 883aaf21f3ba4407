/** A child process. Its death harms nobody else. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Child, type Death, ENTRY, FROM_SOURCES, type MakeChild, urlOf, type Watcher } from './child.ts';
import { type Down, isOurs, ours, type Up } from './protocol.ts';
import { handOn, Tail } from './tail.ts';

/** How long (ms) the last words of a dead child are waited for: a grandchild may keep its pipes open. */
const LAST_WORDS_MS = 200;
/** How long (ms) one has that was asked to leave. */
const LEAVE_MS = 2_000;

export const makeProcess: MakeChild = (birth, watcher) => {
  const child = fork(fileURLToPath(ENTRY), [JSON.stringify(birth)], {
    serialization: 'advanced',
    // A group of its own: Ctrl-C in a terminal is for the parent, which says what becomes of the job.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    execArgv: [...inheritedFlags(process.execArgv), ...(FROM_SOURCES ? ['--import', urlOf('tsx')] : [])],
  });
  return new ProcessChild(child, watcher);
};

/** What the parent was started with goes for its children, too; but two cannot have one debugging port, or one `-e`. */
export function inheritedFlags(flags: readonly string[]): string[] {
  return flags.filter(
    (flag, at) =>
      !NOT_INHERITED.test(flag) && !(TAKES_PROGRAM.test(flags[at - 1] ?? '') || TAKES_PROGRAM.test(flag)),
  );
}

const NOT_INHERITED = /^--(inspect|experimental-vm-modules)/;
const TAKES_PROGRAM = /^(-e|-p|-pe|--eval|--print)$/;

class ProcessChild implements Child {
  readonly kind = 'process';
  readonly #child: ChildProcess;
  readonly #watcher: Watcher;
  readonly #tail = new Tail();
  #dead = false;

  constructor(child: ChildProcess, watcher: Watcher) {
    this.#child = child;
    this.#watcher = watcher;
    // Whoever ends with children idle does not wait for them: they see it and go.
    child.on('message', (said) => isOurs<Up>(said) && watcher.onMessage(said.warren));
    child.on('exit', (code, signal) => this.#exited(code, signal));
    child.on('error', (error) => this.#failed(error));
    this.#handOn();
  }

  post(message: Down): void {
    // An EPIPE would be an `error` of the child, and a closed channel a throw.
    if (this.#dead || !this.#child.connected) return;
    if (message.kind === 'run') this.#tail.clear();
    this.#child.send(ours(message), () => {});
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  leave(): void {
    if (this.#child.connected) this.#child.disconnect();
    setTimeout(() => this.kill(), LEAVE_MS).unref();
  }

  #handOn(): void {
    const { stdout, stderr } = this.#child;
    if (stdout) handOn(stdout, (text) => void process.stdout.write(text));
    if (stderr)
      handOn(stderr, (text) => {
        this.#tail.add(text);
        process.stderr.write(text);
      });
  }

  #exited(exitCode: number | null, signal: NodeJS.Signals | null): void {
    const tell = () => {
      clearTimeout(timer);
      this.#tell({ exitCode, signal, stderr: this.#tail.text });
    };
    const timer = setTimeout(tell, LAST_WORDS_MS);
    this.#child.once('close', tell);
  }

  /** It could not be started, or not be killed or written to: the first alone means that no exit follows. */
  #failed(error: Error): void {
    if (this.#child.pid === undefined) this.#tell({ exitCode: null, signal: null, stderr: error.message });
  }

  #tell(death: Death): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#watcher.onDeath(death);
  }
}
