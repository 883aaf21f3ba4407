/** The broker's management API, for looking from outside and for clearing up. */
import { managementUrl } from './broker.ts';
import { until } from './until.ts';

export interface ManagedQueue {
  name: string;
  type: string;
  arguments: Record<string, unknown>;
  messages?: number;
  messages_ready?: number;
  messages_unacknowledged?: number;
}

export interface Management {
  get<T>(path: string): Promise<T>;
  /** Queues with exact totals (not the statistics, which lag by seconds). */
  queues(): Promise<ManagedQueue[]>;
  exchanges(): Promise<{ name: string; type: string; arguments: Record<string, unknown> }[]>;
  /** Deletes; what is already gone is fine. */
  remove(path: string): Promise<void>;
}

const vhost = '%2F';

export function management(url = managementUrl()): Management {
  const { origin, username, password } = new URL(url);
  const authorization = `Basic ${Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64')}`;

  /** A node that has only just started, or whose queues others delete meanwhile, may fail at first; that is no answer. */
  async function answer(method: string, path: string): Promise<Response> {
    return until(
      async () => {
        const response = await fetch(`${origin}/api${path}`, {
          method,
          headers: { authorization },
          signal: AbortSignal.timeout(20_000),
        });
        if (response.status >= 500) throw new Error(`${response.status} ${await response.text()}`);
        return response;
      },
      { within: 40_000, every: 200, what: `an answer to ${method} ${path}` },
    );
  }

  async function ask(method: string, path: string): Promise<Response> {
    const response = await answer(method, path);
    if (!response.ok && !(method === 'DELETE' && response.status === 404)) {
      throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    }
    return response;
  }

  const get = async <T>(path: string) => (await (await ask('GET', path)).json()) as T;
  return {
    get,
    queues: () => get(`/queues/${vhost}?disable_stats=true&enable_queue_totals=true`),
    exchanges: () => get(`/exchanges/${vhost}`),
    remove: async (path) => void (await (await ask('DELETE', path)).arrayBuffer()),
  };
}

/** Deletes every queue and exchange whose name starts with `prefix`. */
export async function removeAll(prefix: string, url?: string): Promise<void> {
  if (!prefix) throw new Error('removing everything on a broker is never what a test wants');
  const api = management(url);
  for (const kind of ['queues', 'exchanges'] as const) {
    const mine = (await api[kind]()).filter(({ name }) => name.startsWith(prefix));
    await Promise.all(mine.map(({ name }) => api.remove(`/${kind}/${vhost}/${encodeURIComponent(name)}`)));
  }
}
