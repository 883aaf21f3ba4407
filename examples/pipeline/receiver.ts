import { randomUUID } from 'node:crypto';
import Fastify, { type FastifyInstance } from 'fastify';
import { type Client, PublishError } from 'warren';
import { CheckAllowed } from '../../workers/pipeline/check-allowed.ts';
import type { SendRequest } from '../../workers/pipeline/request.ts';

/** Answers 202 only once the broker has the job. Otherwise it says so, and the caller still has the request. */
export function receiver(client: Pick<Client, 'enqueue'>, deadline = '10s'): FastifyInstance {
  const app = Fastify({ forceCloseConnections: true });

  app.post<{ Body: SendRequest }>('/requests', async (request, reply) => {
    const id = String(request.headers['x-request-id'] ?? randomUUID());
    try {
      await client.enqueue(CheckAllowed, request.body, { id, deadline });
      return reply.code(202).send({ id });
    } catch (error) {
      if (!(error instanceof PublishError)) throw error;
      const { code, message } = error;
      return reply.code(statusOf(error)).send({ id, code, message, next: 'send it again with the same id' });
    }
  });
  return app;
}

function statusOf({ reason }: PublishError): number {
  if (reason === 'invalid') return 400;
  return reason === 'too-large' ? 413 : 503;
}
