/** Processes that tests start, watch and kill. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { until } from './until.ts';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** How a process ended; one of the two is null. */
export interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface RunningProcess extends AsyncDisposable {
  readonly pid: number;
  readonly child: ChildProcess;
  /** All it wrote so far. */
  readonly stdout: string;
  readonly stderr: string;
  /** Lines of both streams, in the order they came. */
  readonly lines: readonly string[];
  /** The first line that matches, also one that came before; fails at once when the process ends without it. */
  waitForLine(pattern: RegExp | string, options?: { within?: number }): Promise<string>;
  kill(signal?: NodeJS.Signals): void;
  /** Resolves when it has ended and all it wrote was read; fails after `within` ms, and kills it. */
  ended(options?: { within?: number }): Promise<Ending>;
}

export interface SpawnOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Makes it the head of a process group of its own, to be signalled as a terminal does: `process.kill(-pid)`. */
  group?: boolean;
}

/** A Node program: `spawnNode(['dist/src/cli/main.js', 'work'])`, paths from the checkout's root. */
export function spawnNode(args: string[], options: SpawnOptions = {}): RunningProcess {
  return spawnProcess(process.execPath, args, options);
}

/** The command as users run it, from the build. */
export function spawnWarren(args: string[], options: SpawnOptions = {}): RunningProcess {
  return spawnNode([fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url)), ...args], options);
}

export function spawnProcess(
  command: string,
  args: string[],
  { env = {}, cwd = root, group = false }: SpawnOptions = {},
): RunningProcess {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: group,
  });
  return new Spawned(child, [command, ...args].join(' '));
}

class Spawned implements RunningProcess {
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  readonly #name: string;
  #ending: Ending | undefined;
  stdout = '';
  stderr = '';

  constructor(child: ChildProcess, name: string) {
    this.child = child;
    this.#name = name;
    this.#read('stdout');
    this.#read('stderr');
    child.on('error', (error) => {
      this.stderr += `${error.message}\n`;
      this.#ending ??= { code: null, signal: null };
    });
    child.on('close', (code, signal) => {
      this.#ending = { code, signal };
    });
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  #read(name: 'stdout' | 'stderr'): void {
    let rest = '';
    this.child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
      this[name] += chunk;
      const parts = (rest + chunk).split('\n');
      rest = parts.pop() ?? '';
      this.lines.push(...parts);
    });
    this.child[name]?.on('end', () => rest && this.lines.push(rest));
  }

  async waitForLine(pattern: RegExp | string, { within = 45_000 } = {}): Promise<string> {
    const matches = (line: string) =>
      typeof pattern === 'string' ? line.includes(pattern) : pattern.test(line);
    const find = () => this.lines.find(matches);
    await until(() => find() !== undefined || this.#ending, {
      within,
      what: `a line ${pattern} of ${this.#name}`,
    }).catch((error: Error) => this.#fail(error.message));
    return find() ?? this.#fail(`it ended (${JSON.stringify(this.#ending)}) without a line ${pattern}`);
  }

  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    this.child.kill(signal);
  }

  async ended({ within = 60_000 } = {}): Promise<Ending> {
    return until(() => this.#ending, { within, what: `the end of ${this.#name}` }).catch((error: Error) => {
      this.kill('SIGKILL');
      return this.#fail(error.message);
    });
  }

  #fail(why: string): never {
    throw new Error(`${this.#name}: ${why}\n--- the last it wrote\n${this.lines.slice(-40).join('\n')}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ending) this.kill('SIGKILL');
    await this.ended();
  }
}
