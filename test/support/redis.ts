/** A Redis server of a test's own: a port and a folder that nobody else has. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@redis/client';
import { freePort } from './port.ts';
import { type RunningProcess, spawnProcess } from './process.ts';
import { toolPath } from './tools.ts';
import { until } from './until.ts';

export interface TestRedis extends AsyncDisposable {
  readonly url: string;
  /** SIGSTOP: connections are accepted and nothing is answered. */
  pause(): void;
  resume(): void;
  /** A connected client, closed with the server. */
  client(): Promise<RedisTestClient>;
}

export type RedisTestClient = ReturnType<typeof createClient>;

/** Answers when it resolves. */
export async function startRedis(): Promise<TestRedis> {
  const path = toolPath('redis-server');
  if (path === undefined) throw new Error('there is no redis-server here; see bin/tools');
  const [folder, port] = await Promise.all([mkdtemp(join(tmpdir(), 'warren-redis-')), freePort()]);
  const options = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--save', ''];
  return new Server(spawnProcess(path, options), folder, `redis://127.0.0.1:${port}`).ready();
}

class Server implements TestRedis {
  readonly url: string;
  readonly #process: RunningProcess;
  readonly #folder: string;
  readonly #clients: RedisTestClient[] = [];

  constructor(process: RunningProcess, folder: string, url: string) {
    this.#process = process;
    this.#folder = folder;
    this.url = url;
  }

  async ready(): Promise<this> {
    await this.#process.waitForLine('Ready to accept connections');
    return this;
  }

  pause(): void {
    this.#process.kill('SIGSTOP');
  }

  resume(): void {
    this.#process.kill('SIGCONT');
  }

  async client(): Promise<RedisTestClient> {
    const client: RedisTestClient = createClient({ url: this.url, socket: { reconnectStrategy: 50 } });
    client.on('error', () => {}); // said by the calls that fail
    this.#clients.push(client);
    await until(() => client.connect(), { what: 'Redis to answer' });
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.resume();
    for (const client of this.#clients) client.destroy();
    await this.#process[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
