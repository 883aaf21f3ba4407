/** The worker processes of a run: who was told to end, how, and who ended without being told. */
import { type Program, startWorker, type WorkerOptions } from '../stories/support.ts';
import type { Ending, RunningProcess } from '../support/process.ts';
import { runOf } from './oracle.ts';

interface Member {
  readonly program: Program;
  /** How it may end, once it was told to. */
  allowed?: (ending: Ending) => boolean;
}

export const drained = ({ code }: Ending) => code === 0;
export const killed = ({ signal }: Ending) => signal === 'SIGKILL';
/** 128 + SIGTERM: a second signal. */
export const forced = ({ code }: Ending) => code === 128 + 15;

const everyone = new Set<RunningProcess>();
// An interrupted run must not leave workers that look for their broker for ever.
process.once('exit', () => {
  for (const one of everyone) one.kill('SIGKILL');
});

export class Crew {
  readonly #options: WorkerOptions;
  readonly #members: Member[] = [];
  /** Processes killed by the fault. */
  readonly killed = new Set<number>();

  constructor(options: WorkerOptions) {
    this.#options = options;
  }

  /** Resolves when that many more are ready. */
  async start(count = 1): Promise<void> {
    const programs = await Promise.all(Array.from({ length: count }, () => startWorker(this.#options)));
    for (const program of programs) this.#add({ program });
  }

  /** A process of another kind, which kills itself. Resolves when it has. */
  async untilItKillsItself(process: RunningProcess): Promise<void> {
    this.#add({ program: asProgram(process), allowed: killed });
    this.killed.add(process.pid);
    await process.ended({ within: 90_000 });
  }

  #add(member: Member): void {
    this.#members.push(member);
    everyone.add(member.program.process);
  }

  /** Those that nobody told to end, oldest first. */
  get working(): Program[] {
    return this.#members.filter(({ allowed }) => !allowed).map(({ program }) => program);
  }

  async allReady(): Promise<boolean> {
    const answers = await Promise.all(this.working.map(({ url }) => fetch(`${url}/readyz`)));
    return answers.every(({ ok }) => ok);
  }

  /** Sends a signal that does not end it. */
  signal({ process }: Program, signal: 'SIGSTOP' | 'SIGCONT'): void {
    process.kill(signal);
  }

  /** Sends a signal that ends it, and says how it may end. */
  end(program: Program, signal: NodeJS.Signals, allowed: (ending: Ending) => boolean): void {
    const member = this.#members.find((each) => each.program === program);
    if (!member) throw new Error('not one of ours');
    member.allowed = allowed;
    if (signal === 'SIGKILL') this.killed.add(program.process.pid);
    program.process.kill(signal);
  }

  /** SIGTERM to all; resolves when all are gone. */
  async stop(): Promise<void> {
    for (const program of this.working) {
      if (program.process.child.exitCode !== null || program.process.child.signalCode !== null) continue;
      this.end(program, 'SIGTERM', drained);
    }
    // Whoever does not end is killed, and shows in `exits`.
    const gone = this.#members.map(({ program }) => program.process.ended({ within: 60_000 }));
    await Promise.allSettled(gone);
  }

  /** All that the workers wrote. */
  get lines(): string[] {
    return this.#members.flatMap(({ program }) => [...program.process.lines]);
  }

  /** From the log: for each run, in their order, whether the broker marked the message as handed out again. */
  redelivered(): Map<string, boolean[]> {
    const marks = new Map<string, boolean[]>();
    for (const line of this.lines) {
      // One of a killed worker may have been cut.
      if (!line.includes('"attempt started"') || !line.endsWith('}')) continue;
      const started = JSON.parse(line) as { id: string; attempt: number; pid: number; redelivered: boolean };
      const run = runOf(started);
      marks.set(run, [...(marks.get(run) ?? []), started.redelivered]);
    }
    return marks;
  }

  /** Endings nobody asked for. After `stop`. */
  async exits(): Promise<string[]> {
    const exits = await Promise.all(this.#members.map((member) => this.#exit(member)));
    return [...exits.filter((exit) => exit !== undefined), ...this.#supervisedExits()];
  }

  /** A supervisor starts again what dies, so its word is the only sign of it. */
  #supervisedExits(): string[] {
    const deaths = this.lines.filter((line) => line.includes('"worker process died"'));
    const pidOf = (line: string) => (JSON.parse(line) as { workerPid: number }).workerPid;
    return deaths.filter((line) => !this.killed.has(pidOf(line)));
  }

  async #exit({ program, allowed }: Member): Promise<string | undefined> {
    const { child, lines, pid } = program.process;
    const ending = { code: child.exitCode, signal: child.signalCode };
    if (allowed?.(ending)) return undefined;
    const how = ending.signal ?? (ending.code === null ? 'did not end' : `code ${ending.code}`);
    return `worker ${pid}: ${how}; last words: ${lines.slice(-2).join(' ⏎ ').slice(0, 600)}`;
  }

  async dispose(): Promise<void> {
    await Promise.allSettled(this.#members.map(async ({ program }) => program[Symbol.asyncDispose]()));
  }
}

function asProgram(process: RunningProcess): Program {
  return { process, url: '', [Symbol.asyncDispose]: () => process[Symbol.asyncDispose]() };
}
