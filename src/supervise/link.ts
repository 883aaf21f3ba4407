/** A worker's end of the line to its supervisor: it answers, stops when told to, and ends when the line goes dead. */
import { watchParent } from '../orphan-watch.ts';
import type { SupervisedRuntime } from '../runtime.ts';
import { type Answers, isOurs, type Question, type ToSupervisor, type ToWorker } from './messages.ts';

/** Who a worker is, and whose. */
export interface Supervision {
  supervisorPid: number;
  /** From 1. */
  worker: number;
}

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;
/** What an orphan gets beyond its grace period before it is killed, for its way out. */
const WAY_OUT_MS = 1_000;

export class SupervisorLink {
  readonly #graceMs: number;
  #runtime: SupervisedRuntime | undefined;

  /** To be made early: while a worker loads its jobs, its supervisor wants to know that it lives. */
  constructor({ supervisorPid }: Supervision, graceMs: number) {
    this.#graceMs = graceMs;
    process.on('message', (message) => {
      if (isOurs<ToWorker>(message)) void this.#take(message);
    });
    // Nobody is left who would end this process, or start it again.
    process.on('disconnect', () => this.#stop(graceMs, 'supervisor gone'));
    watchParent({ parentPid: supervisorPid, graceMs: graceMs + WAY_OUT_MS });
    this.#takeSignals();
  }

  /** From now on there is something to drain. */
  serve(runtime: SupervisedRuntime): void {
    this.#runtime = runtime;
    runtime.on('runtime.started', () => send({ warren: 'begun' }));
  }

  /**
   * A terminal's Ctrl-C reaches the whole process group, and the supervisor hands on what it gets: a signal may come
   * twice. So none of them ends a worker at once; its supervisor does, on the second that it gets itself.
   */
  #takeSignals(): void {
    for (const signal of SIGNALS) process.on(signal, () => this.#stop(this.#graceMs, signal));
  }

  #stop(graceMs: number, why: string): void {
    if (this.#runtime) void this.#runtime.stopWithin(graceMs, why).catch(() => {});
    else process.exit(0);
  }

  async #take(message: ToWorker): Promise<void> {
    if (message.warren === 'stop') {
      this.#stop(Math.max(0, message.by - Date.now()), message.why);
      return;
    }
    const { nr, question } = message;
    send({ warren: 'answer', nr, answer: await this.#answer(question).catch(() => undefined) });
  }

  async #answer(question: Question): Promise<Answers[Question] | undefined> {
    if (question === 'ping') return true;
    if (question === 'ready') return this.#runtime?.health.ready() ?? ['starting'];
    if (question === 'health') return this.#runtime?.health.health();
    return this.#runtime?.registry.getMetricsAsJSON() as Promise<Answers['metrics']> | undefined;
  }
}

/** Without a listener the end of the line, between the question and the answer, would be an uncaught error. */
function send(message: ToSupervisor): void {
  if (process.connected) process.send?.(message, undefined, {}, () => {});
}
