/**
 * The page of the first story: `/?name=foo` enqueues a NameWorker and shows what becomes of it.
 * AMQP_URL says where the broker is, WORKER_URL where the workers' health is served, MANAGEMENT_URL where the
 * broker's own page is, PORT where this page is.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import Fastify, { type FastifyReply } from 'fastify';
import { type Client, createClient, PublishError } from 'warren';
import { NameWorker } from '../workers/name-worker.ts';
import type { Html } from './web/html.ts';
import { formPage, jobPage, troublePage } from './web/pages.ts';
import { stateOf } from './web/state.ts';

const PORT = Number(process.env.PORT ?? 8080);
const WORKER_URL = new URL(process.env.WORKER_URL ?? 'http://localhost:3000');
const BROKER_PAGE = process.env.MANAGEMENT_URL && new URL(process.env.MANAGEMENT_URL).origin;

/** How long a visitor waits for a page that has only just come up. */
const FIRST_CONNECTION_MS = 3_000;

let client: Client | undefined;
// For ever: the page is up before the broker may be, and says so.
const connecting = createClient({ connectTimeout: 0 }).then((connected) => {
  client = connected;
});

interface Query {
  name?: string;
  fail: number;
  id?: string;
}

const querystring = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 100 },
    fail: { type: 'integer', minimum: 0, maximum: 4, default: 0 },
    id: { type: 'string', minLength: 1, maxLength: 100 },
  },
};

// No HEAD: it would enqueue as well.
const app = Fastify({ forceCloseConnections: true, exposeHeadRoutes: false });

app.get<{ Querystring: Query }>('/', { schema: { querystring } }, async ({ query, url }, reply) => {
  const name = query.name?.trim();
  if (!name) return send(reply, formPage());
  if (!client) await Promise.race([connecting, pause(FIRST_CONNECTION_MS)]);
  if (!client) return send(reply.code(503), brokerAway(url));

  // The id is made here, so that trying again after an unknown outcome is the same job and not a second one.
  const { fail: failures, id = randomUUID() } = query;
  try {
    await client.enqueue(NameWorker, { name, failures }, { id, deadline: '5s' });
    return send(reply, jobPage({ name, id, failures }, BROKER_PAGE));
  } catch (error) {
    if (!(error instanceof PublishError)) throw error;
    return send(
      reply.code(503),
      notKept(error, `/?${new URLSearchParams({ name, fail: `${failures}`, id })}`),
    );
  }
});

// Where page.js moves a visitor to, so that a reload shows the job and enqueues no other.
app.get<{ Params: { id: string }; Querystring: Query }>(
  '/jobs/:id',
  { schema: { querystring } },
  async ({ params: { id }, query: { name = '', fail: failures } }, reply) =>
    send(reply, jobPage({ name, id, failures }, BROKER_PAGE)),
);

app.get('/state', () => stateOf(WORKER_URL, 'default', 'NameWorker'));
app.get('/healthz', () => ({ status: client ? 'ok' : 'the broker is not reachable yet' }));
for (const [file, type] of [
  ['page.css', 'text/css'],
  ['page.js', 'text/javascript'],
] as const) {
  const content = readFileSync(new URL(`./web/${file}`, import.meta.url));
  app.get(`/${file}`, (_request, reply) => reply.type(`${type}; charset=utf-8`).send(content));
}

function send(reply: FastifyReply, { text }: Html) {
  return reply
    .type('text/html; charset=utf-8')
    .header(
      'content-security-policy',
      "default-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'",
    )
    .header('cache-control', 'no-store')
    .send(text);
}

function brokerAway(again: string): Html {
  return troublePage({
    title: 'The broker is not there yet',
    what: 'RabbitMQ has not answered since this page’s server started, so nothing was enqueued.',
    next: 'This page tries again by itself every two seconds.',
    again,
    wait: 2,
  });
}

function notKept(error: PublishError, again: string): Html {
  const next: Record<string, string> = {
    unroutable: 'Start a worker (bin/hard_worker): it declares the queues. This page tries again by itself.',
    blocked: 'The broker is out of memory or disk. This page tries again by itself.',
    deadline:
      'This page tries again by itself, with the same id: whatever became of this try, it stays one job.',
    invalid: 'Another name may do better.',
  };
  return troublePage({
    title: 'Not enqueued',
    what: error.message,
    next: next[error.reason] ?? 'This page tries again by itself.',
    code: error.code,
    again,
    ...(error.reason === 'invalid' ? {} : { wait: 3 }),
  });
}

await app.listen({ port: PORT, host: '0.0.0.0' });
console.log(`visit http://localhost:${PORT}/?name=foo`);

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, async () => {
    await app.close();
    await client?.close();
    process.exit(0);
  });
}
await connecting;
