/** The programs of the stories, as users start them. */
import { connect } from 'amqplib';
import { freePort } from '../support/port.ts';
import { type RunningProcess, spawnNode, spawnWarren } from '../support/process.ts';
import { until } from '../support/until.ts';

export { freePort };

export interface Program extends AsyncDisposable {
  readonly process: RunningProcess;
  /** Where it serves HTTP. */
  readonly url: string;
}

export interface WorkerOptions {
  url: string;
  namespace?: string;
  folder?: string;
  /** A config file, which then names the folder. */
  config?: string;
  /** `mail:20`; default: all. */
  queues?: string[];
  grace?: string;
  port?: number;
  env?: NodeJS.ProcessEnv;
}

/** `warren work`, ready. */
export async function startWorker(options: WorkerOptions): Promise<Program> {
  const { url, namespace = '', folder = 'workers', queues = [], grace = '30s' } = options;
  const port = options.port ?? (await freePort());
  const where = options.config === undefined ? ['--workers', folder] : ['--config', options.config];
  const flags = [...where, '--port', `${port}`, '--grace', grace];
  for (const queue of queues) flags.push('--queue', queue);
  const env = { ...options.env, AMQP_URL: url, WARREN_NAMESPACE: namespace };
  const program = running(spawnWarren(['work', ...flags], { env }), port);
  await answers(program, '/readyz');
  return program;
}

/** The example page, with its client connected. */
export async function startPage(options: {
  url: string;
  workerUrl: string;
  namespace?: string;
  port?: number;
}): Promise<Program> {
  const { url, workerUrl, namespace = '', port = await freePort() } = options;
  const env = { AMQP_URL: url, WORKER_URL: workerUrl, PORT: `${port}`, WARREN_NAMESPACE: namespace };
  const program = running(spawnNode(['--import', 'tsx', 'examples/web.ts'], { env }), port);
  await until(
    async () => ((await (await fetch(`${program.url}/healthz`)).json()) as Health).status === 'ok',
    {
      within: 60_000,
      what: 'the page to have its client',
    },
  );
  return program;
}

interface Health {
  status: string;
}

function running(process: RunningProcess, port: number): Program {
  return {
    process,
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => process[Symbol.asyncDispose](),
  };
}

/** Waits for a 200; a program that ended meanwhile will never give one. */
async function answers({ process, url }: Program, path: string): Promise<void> {
  let said = '';
  const ended = () => process.child.exitCode !== null || process.child.signalCode !== null;
  const green = async () => {
    if (ended()) return true;
    const answer = await fetch(url + path);
    said = await answer.text();
    return answer.ok;
  };
  await until(green, { within: 60_000, what: `${url}${path} to be green` }).catch((error: Error) => {
    process.kill('SIGKILL');
    throw new Error(`${error.message}; it said ${said}\n${process.lines.slice(-20).join('\n')}`);
  });
  if (ended()) throw new Error(`it ended at its start:\n${process.lines.slice(-20).join('\n')}`);
}

/** What `/healthz` says of a queue. */
export async function queueHealth(workerUrl: string, queue: string) {
  const answer = (await (await fetch(`${workerUrl}/healthz`)).json()) as {
    queues: Record<string, { ready: number; running: number; dead: number; consumers: number }>;
    delayed: Record<string, number>;
  };
  return { ...answer.queues[queue], delayed: answer.delayed };
}

/** Messages that wait in a queue at this moment. (The management API's counts are up to five seconds old.) */
export async function ready(url: string, queue: string): Promise<number> {
  const connection = await connect(url);
  connection.on('error', () => {});
  try {
    const channel = await connection.createChannel();
    channel.on('error', () => {}); // no such queue: the call below says it as well
    return (await channel.checkQueue(queue)).messageCount;
  } finally {
    await connection.close();
  }
}
