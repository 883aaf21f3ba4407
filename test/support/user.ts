/** A RabbitMQ user with chosen permissions, made through the management API. */
import { amqpUrl, managementUrl } from './broker.ts';
import { until } from './until.ts';

/** Regular expressions of the names it may do this to. */
export interface Permissions {
  configure: string;
  write: string;
  read: string;
}

export interface RabbitUser {
  /** The shared broker's URL with this user's name and password. */
  readonly url: string;
  may(permissions: Permissions): Promise<void>;
  remove(): Promise<void>;
}

export async function rabbitUser(name: string): Promise<RabbitUser> {
  const password = 'not-a-secret';
  await put(`/users/${name}`, { password, tags: '' });
  const url = new URL(amqpUrl());
  url.username = name;
  url.password = password;
  return {
    url: url.href,
    may: (permissions) => put(`/permissions/%2F/${name}`, permissions),
    remove: () => ask('DELETE', `/users/${name}`),
  };
}

const put = (path: string, body: object) => ask('PUT', path, JSON.stringify(body));

/** Asked again where no answer comes: each of these is the same when it is done twice. */
async function ask(method: string, path: string, body?: string): Promise<void> {
  await until(() => askOnce(method, path, body), { every: 200, what: `${method} ${path}` });
}

async function askOnce(method: string, path: string, body?: string): Promise<true> {
  const { origin, username, password } = new URL(managementUrl());
  const credentials = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`);
  const response = await fetch(`${origin}/api${path}`, {
    method,
    body: body ?? null,
    headers: { authorization: `Basic ${credentials.toString('base64')}`, 'content-type': 'application/json' },
    signal: AbortSignal.timeout(10_000),
  });
  if (!response.ok && !(method === 'DELETE' && response.status === 404))
    throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return true;
}
