/** What a process tells over HTTP: whether it lives, whether it consumes, how it is, its numbers. */
import { type FastifyInstance, type FastifyReply, fastify } from 'fastify';
import { ConfigurationError } from '../core/errors.ts';
import type { HealthSource } from './health.ts';

export interface MetricsSource {
  readonly contentType: string;
  text(): Promise<string>;
}

export interface HttpServerOptions {
  /** 0 takes any free port. */
  port: number;
  host: string;
  health: HealthSource;
  metrics: MetricsSource;
}

export interface HttpServer {
  readonly app: FastifyInstance;
  /**
   * Resolves with the port.
   * @throws ConfigurationError when the address cannot be had
   */
  listen(): Promise<number>;
  /** Ends open connections too, so that it never waits for a scraper's keep-alive. */
  close(): Promise<void>;
}

/** How long a client may take to send its request, in ms. */
const REQUEST_TIMEOUT_MS = 10_000;

export function createHttpServer({ port, host, health, metrics }: HttpServerOptions): HttpServer {
  const app = fastify({ logger: false, forceCloseConnections: true, requestTimeout: REQUEST_TIMEOUT_MS });
  app.addHook('onSend', async (_request, reply) => void reply.header('cache-control', 'no-store'));
  addRoutes(app, health, metrics);
  addFailures(app);
  return {
    app,
    async listen() {
      await app.listen({ port, host }).catch((error) => {
        throw addressError(error, host, port);
      });
      return boundPort(app) ?? port;
    },
    close: () => app.close(),
  };
}

function addRoutes(app: FastifyInstance, health: HealthSource, metrics: MetricsSource): void {
  // Only that the event loop turns: a worker must not be killed because its broker is away.
  app.get('/livez', async () => ({ status: 'ok' }));

  app.get('/readyz', async (_request, reply) => {
    const reasons = await health.ready();
    if (reasons.length === 0) return { status: 'ready' };
    return reply.code(503).send({ status: 'unready', reasons });
  });

  app.get('/healthz', async (_request, reply) => {
    const answer = await health.health();
    return reply.code(answer.status === 'down' ? 503 : 200).send(answer);
  });

  app.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()));
}

function addFailures(app: FastifyInstance): void {
  app.setNotFoundHandler((request, reply) =>
    sendError(reply, 404, `${request.method} ${request.url.split('?')[0]} is not served here`),
  );
  // The message of an inner failure is for the process's own log, not for whoever asked.
  app.setErrorHandler((error: { statusCode?: number; message: string }, _request, reply) => {
    const code = error.statusCode ?? 500;
    return sendError(reply, code, code < 500 ? error.message : 'this could not be answered');
  });
}

function sendError(reply: FastifyReply, code: number, message: string): FastifyReply {
  return reply.code(code).send({ status: 'error', message });
}

function boundPort(app: FastifyInstance): number | undefined {
  const address = app.server.address();
  return typeof address === 'object' ? address?.port : undefined;
}

function addressError(error: unknown, host: string, port: number): unknown {
  const where = `port ${port} on ${host}`;
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE':
      return new ConfigurationError(
        `${where} is in use by another program; choose another with --port or WARREN_PORT`,
      );
    case 'EACCES':
      return new ConfigurationError(
        `${where} may not be used by this user; choose one above 1023 with --port or WARREN_PORT`,
      );
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new ConfigurationError(`${host} is no address of this machine, so HTTP cannot be served there`);
    default:
      return error;
  }
}
