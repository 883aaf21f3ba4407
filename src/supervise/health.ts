/** How all workers are, in one value. */
import type { Health } from '../health.ts';
import type { HealthSource } from '../http/health.ts';
import type { Answers, Question } from './messages.ts';
import { isLoop } from './restarts.ts';
import type { Supervisor, WorkerSlot } from './supervisor.ts';

/** One worker, in `/healthz`. */
export interface ProcessHealth {
  /** Null between a death and the next start. */
  pid: number | null;
  /** As the worker says it; `starting`, `dead` (it will be started again), or `silent`: it did not answer. */
  status: Health['status'] | 'starting' | 'dead' | 'silent';
  /** How often it was started again. */
  restarts: number;
  /** Of its present process, in seconds. */
  uptime: number;
}

export interface SupervisedHealth extends Health {
  processes: ProcessHealth[];
}

/** Together with a worker's own look at the broker (1.5 s at most) below the two seconds that a route may take. */
const ANSWER_MS = 1_800;

/** Asks every worker that has begun, all at the same time. */
export async function askAll<Q extends Question>(
  supervisor: Supervisor,
  question: Q,
): Promise<(Answers[Q] | undefined)[]> {
  return Promise.all(
    supervisor.workers.map(({ process }) => (process?.begun ? process.ask(question, ANSWER_MS) : undefined)),
  );
}

export function supervisedHealthSource(supervisor: Supervisor, version: string): HealthSource {
  return {
    async ready() {
      if (supervisor.stopping) return ['draining'];
      const answers = await askAll(supervisor, 'ready');
      return supervisor.workers.flatMap((worker, index) =>
        (answers[index] ?? [absence(worker)]).map((reason) => `${nameOf(worker)}: ${reason}`),
      );
    },
    async health() {
      const answers = await askAll(supervisor, 'health');
      return togetherOf(supervisor.workers, answers, { version, draining: supervisor.stopping });
    },
  };
}

/** What the workers say is put together; what only the broker knows is taken from the first who could ask it. */
export function togetherOf(
  workers: readonly WorkerSlot[],
  answers: readonly (Health | undefined)[],
  { version, draining }: { version: string; draining: boolean },
): SupervisedHealth {
  const said = answers.filter((answer) => answer !== undefined);
  const broker = said.find(({ unrouted }) => unrouted !== null) ?? said[0];
  const { reasons: _, ...facts } = broker ?? { delayed: {}, unrouted: null };
  const reasons = [...(draining ? ['draining'] : []), ...reasonsOf(workers, answers)];
  return {
    ...facts,
    version,
    status: worstStatus(said, reasons.length > 0),
    broker: {
      connected: said.length > 0 && said.every((health) => health.broker.connected),
      version: broker?.broker.version ?? null,
    },
    queues: queuesOf(said, broker),
    ...schedulesOf(said),
    processes: workers.map((worker, index) => processHealth(worker, answers[index])),
    ...(reasons.length > 0 ? { reasons } : {}),
  };
}

function worstStatus(said: readonly Health[], troubled: boolean): Health['status'] {
  if (said.length === 0 || said.some(({ status }) => status === 'down')) return 'down';
  return troubled ? 'degraded' : 'ok';
}

/** The leader is one of them, or somebody else's. */
function schedulesOf(said: readonly Health[]): Pick<Health, 'schedules'> {
  const all = said.flatMap(({ schedules }) => schedules ?? []);
  const best = all.find(({ leading }) => leading) ?? all.find(({ leader }) => leader !== null) ?? all[0];
  return best ? { schedules: best } : {};
}

function queuesOf(said: readonly Health[], broker: Health | undefined): Health['queues'] {
  return Object.fromEntries(
    Object.entries(broker?.queues ?? {}).map(([name, counts]) => [
      name,
      { ...counts, running: said.reduce((sum, { queues }) => sum + (queues[name]?.running ?? 0), 0) },
    ]),
  );
}

/** What all say who answered stands once; what some say, with their names. */
function reasonsOf(workers: readonly WorkerSlot[], answers: readonly (Health | undefined)[]): string[] {
  const said = answers.filter((answer) => answer !== undefined);
  const common = (said[0]?.reasons ?? []).filter((reason) =>
    said.every(({ reasons = [] }) => reasons.includes(reason)),
  );
  const own = workers.flatMap((worker, index) => {
    const { reasons = [] } = answers[index] ?? { reasons: [absence(worker)] };
    const mine = reasons.filter((reason) => !common.includes(reason));
    const loop = isLoop(worker.record) ? [`restarts in a loop (${lastEndOf(worker)})`] : [];
    return [...mine, ...loop].map((reason) => `${nameOf(worker)}: ${reason}`);
  });
  return [...common, ...own];
}

function processHealth({ process, record }: WorkerSlot, answer: Health | undefined): ProcessHealth {
  const missing = !process ? 'dead' : process.begun ? 'silent' : 'starting';
  return {
    pid: process?.pid ?? null,
    status: answer?.status ?? missing,
    restarts: record.restarts,
    uptime: Math.round((process?.uptimeMs ?? 0) / 1000),
  };
}

function nameOf({ nr, process }: WorkerSlot): string {
  return process ? `worker ${nr} (pid ${process.pid})` : `worker ${nr}`;
}

function absence(worker: WorkerSlot): string {
  const { process, restartAt } = worker;
  if (process) return process.begun ? 'does not answer' : 'starting';
  const seconds = Math.max(0, restartAt - performance.now()) / 1000;
  return `died (${lastEndOf(worker)}), starts again in ${seconds.toFixed(1)} s`;
}

function lastEndOf({ lastDeath }: WorkerSlot): string {
  if (lastDeath?.signal) return lastDeath.signal;
  return lastDeath?.code == null ? 'could not be started' : `exit code ${lastDeath.code}`;
}
