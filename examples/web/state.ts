/** What is going on, asked from the workers themselves: `/healthz` for the queues, `/metrics` for what is done. */
import { lookup } from 'node:dns/promises';

export interface State {
  /** Where the workers are looked for. */
  asked: string;
  /** How many workers answered. The rest is left out when none did. */
  workers: number;
  ready?: number;
  running?: number;
  dead?: number;
  /** Since the workers started, and only of those that answered. */
  done?: number;
  /** By delay: `{ '3s': 1 }`. */
  delayed?: Record<string, number>;
}

interface Health {
  queues: Record<string, { ready: number; running: number; dead: number }>;
  delayed: Record<string, number>;
}

interface Answer {
  health: Health;
  metrics: string;
}

/** Ready, delayed and dead are the broker's counts, the same from each worker; running and done are its own. */
export async function stateOf(url: URL, queue: string, job: string): Promise<State> {
  const answers = await answersFrom(url);
  const first = answers[0]?.health;
  if (!first) return { asked: url.origin, workers: 0 };
  return {
    asked: url.origin,
    workers: answers.length,
    ready: first.queues[queue]?.ready ?? 0,
    running: sum(answers.map(({ health }) => health.queues[queue]?.running ?? 0)),
    dead: first.queues[queue]?.dead ?? 0,
    done: sum(answers.map(({ metrics }) => succeeded(metrics, job))),
    delayed: Object.fromEntries(Object.entries(first.delayed).filter(([, count]) => count > 0)),
  };
}

async function answersFrom(url: URL): Promise<Answer[]> {
  const asked = await Promise.allSettled((await addressesOf(url)).map(ask));
  return asked.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
}

/** All that stand behind one name, as replicas in compose do. */
async function addressesOf(url: URL): Promise<URL[]> {
  const found = await lookup(url.hostname, { all: true, family: 4 }).catch(() => []);
  return found.map(({ address }) => Object.assign(new URL(url), { hostname: address }));
}

async function ask(worker: URL): Promise<Answer> {
  const get = (path: string) => fetch(new URL(path, worker), { signal: AbortSignal.timeout(1500) });
  const [health, metrics] = await Promise.all([get('/healthz'), get('/metrics')]);
  return { health: (await health.json()) as Health, metrics: await metrics.text() };
}

function succeeded(metrics: string, job: string): number {
  const lines = metrics.split('\n').filter((line) => line.startsWith('warren_jobs_finished_total{'));
  const ours = lines.filter((line) => line.includes(`job="${job}"`) && line.includes('outcome="succeeded"'));
  return sum(ours.map((line) => Number(line.split(' ')[1])));
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
