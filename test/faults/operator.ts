/** What a person with access to the broker can do to it, and see on it. */
import { type ChannelModel, connect } from 'amqplib';
import type { PrivateBroker } from '../support/broker.ts';
import { removeAll } from '../support/management.ts';
import { until } from '../support/until.ts';
import type { Ground } from './ground.ts';
import type { Deletion } from './oracle.ts';

const PASSWORD = 'not-a-secret';
const VHOST = '%2F';
/** Seconds; the broker gives up on a silent peer after two of them. */
const HEARTBEAT = 5;

export class Operator {
  readonly #ground: Ground;
  /** The namespace of the run, and the name of its RabbitMQ user. */
  readonly #name: string;

  constructor(ground: Ground, name: string) {
    this.#ground = ground;
    this.#name = name;
  }

  /** Where the run's own user logs in: all nodes, or `through` alone. */
  urls(through: readonly string[] = this.#ground.urls): string {
    return through
      .map((each) => {
        const url = new URL(each);
        url.username = this.#name;
        url.password = PASSWORD;
        url.searchParams.set('heartbeat', `${HEARTBEAT}`);
        return url.href;
      })
      .join(',');
  }

  async addUser(): Promise<void> {
    await this.setPassword();
    await this.#ask('PUT', `/permissions/${VHOST}/${this.#name}`, {
      configure: '.*',
      write: '.*',
      read: '.*',
    });
  }

  async setPassword(password = PASSWORD): Promise<void> {
    await this.#ask('PUT', `/users/${this.#name}`, { password, tags: '' });
  }

  async closeConnections(): Promise<void> {
    await this.#ask('DELETE', `/connections/username/${this.#name}`);
  }

  /** A policy for all queues of the run that end so. */
  async setPolicy(ending: string, definition: object): Promise<void> {
    const pattern = `^${this.#name}\\..*${ending}$`;
    await this.#ask('PUT', `/policies/${VHOST}/${this.#name}`, { pattern, definition, 'apply-to': 'queues' });
  }

  async clearPolicy(): Promise<void> {
    await this.#ask('DELETE', `/policies/${VHOST}/${this.#name}`);
  }

  async deleteQueue(name: string): Promise<Deletion> {
    const { messageCount } = await this.#amqp(async (connection) =>
      (await connection.createChannel()).deleteQueue(this.#full(name)),
    );
    return { at: Date.now(), messages: messageCount };
  }

  async deleteExchange(name: string): Promise<void> {
    await this.#amqp(async (connection) =>
      (await connection.createChannel()).deleteExchange(this.#full(name)),
    );
  }

  async consumers(queue: string): Promise<number> {
    return (await this.#look(queue)).consumerCount;
  }

  /** Messages that no consumer holds. */
  async ready(queue: string): Promise<number> {
    return (await this.#look(queue)).messageCount;
  }

  /** Which of the ground's nodes leads a quorum queue. */
  async leader(queue: string): Promise<PrivateBroker> {
    const { leader } = await this.#describe(queue);
    const node = this.#ground.nodes.find(({ url }) => leader?.includes(`-${new URL(url).port}@`));
    if (!node) throw new Error(`${queue} is led by ${leader}, which is none of ours`);
    return node;
  }

  /** How many copies of a quorum queue can be reached. */
  async online(queue: string): Promise<number> {
    return (await this.#describe(queue)).online?.length ?? 0;
  }

  async #describe(queue: string): Promise<{ leader?: string; online?: string[] }> {
    const answer = await this.#ask('GET', `/queues/${VHOST}/${encodeURIComponent(this.#full(queue))}`);
    return (await answer.json()) as { leader?: string; online?: string[] };
  }

  /** The ids of all messages of a queue; none where there is no such queue. */
  async idsIn(queue: string): Promise<Set<string>> {
    return until(() => this.#idsIn(queue), { within: 60_000, every: 500, what: `a look into ${queue}` });
  }

  #idsIn(queue: string): Promise<Set<string>> {
    return this.#amqp(async (connection) => {
      const ids = new Set<string>();
      const channel = await connection.createChannel();
      channel.on('error', () => {}); // no such queue: the call says it as well
      for (;;) {
        const message = await channel.get(this.#full(queue)).catch(noneWhereMissing);
        if (!message) return ids;
        ids.add(String(message.properties.messageId));
      }
    });
  }

  /** Deletes all that is left of the run. */
  async clearUp(): Promise<void> {
    await until(
      async () => {
        await this.clearPolicy();
        await removeAll(`${this.#name}.`, await this.#anyManagement());
        await this.#ask('DELETE', `/users/${this.#name}`);
        return true;
      },
      { within: 60_000, every: 500, what: 'the broker to be cleared up' },
    );
  }

  #full(name: string): string {
    return `${this.#name}.${name}`;
  }

  #look(queue: string) {
    return this.#amqp(async (connection) => {
      const channel = await connection.createChannel();
      channel.on('error', () => {});
      return channel.checkQueue(this.#full(queue));
    });
  }

  /** On a connection of its own to the first node that takes one. */
  async #amqp<T>(use: (connection: ChannelModel) => Promise<T>): Promise<T> {
    const connection = await this.#first(this.#ground.urls, (url) => connect(url, { timeout: 3000 }));
    connection.on('error', () => {});
    try {
      return await use(connection);
    } finally {
      await connection.close().catch(() => {});
    }
  }

  #anyManagement(): Promise<string> {
    return this.#first(this.#ground.managementUrls, async (url) => {
      await request(url, 'GET', '/whoami');
      return url;
    });
  }

  /** Asked again where no answer comes: each of these is the same when it is done twice. */
  #ask(method: string, path: string, body?: object): Promise<Response> {
    const ask = () => this.#first(this.#ground.managementUrls, (url) => request(url, method, path, body));
    return until(ask, { every: 200, what: `an answer to ${method} ${path}` });
  }

  async #first<T>(urls: readonly string[], use: (url: string) => Promise<T>): Promise<T> {
    let last: unknown;
    for (const url of urls) {
      try {
        return await use(url);
      } catch (error) {
        last = error;
      }
    }
    throw last;
  }
}

function noneWhereMissing(error: Error & { code?: number }): false {
  if (error.code === 404) return false;
  throw error;
}

async function request(
  managementUrl: string,
  method: string,
  path: string,
  body?: object,
): Promise<Response> {
  const { origin, username, password } = new URL(managementUrl);
  const response = await fetch(`${origin}/api${path}`, {
    method,
    body: body ? JSON.stringify(body) : null,
    headers: {
      authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`,
      'content-type': 'application/json',
    },
    signal: AbortSignal.timeout(10_000),
  });
  if (!response.ok && response.status !== 404)
    throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response;
}
