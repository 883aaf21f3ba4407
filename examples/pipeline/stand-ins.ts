import type { FastifyInstance } from 'fastify';

const DELIVERY_MS = 5000;

/** Stand-ins for the two services behind the pipeline: `nobody` isn't allowed, a message takes five seconds. */
export function standIns(app: FastifyInstance): FastifyInstance {
  const taken = new Map<string, number>();

  app.get<{ Params: { customer: string } }>('/permissions/:customer', async ({ params }) => ({
    allowed: params.customer !== 'nobody',
  }));

  app.post('/interface/messages', async ({ headers }) => {
    const id = String(headers['idempotency-key']);
    if (!taken.has(id)) taken.set(id, Date.now());
    return { id };
  });

  app.get<{ Params: { id: string } }>('/interface/messages/:id', async ({ params }, reply) => {
    const since = taken.get(params.id);
    if (since === undefined) return reply.code(404).send({ status: 'unknown' });
    return { status: Date.now() - since < DELIVERY_MS ? 'pending' : 'delivered' };
  });
  return app;
}
