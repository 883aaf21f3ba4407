/**
 * The pipeline's front door, with stand-ins for the two services behind it.
 *
 *   . .run/broker                   where bin/dev has its broker (or set AMQP_URL); its worker runs all services
 *   npx tsx examples/pipeline.ts
 *   curl -i localhost:8081/requests -H 'content-type: application/json' -H 'x-request-id: order-17' \
 *        -d '{"customer":"ann","text":"hello"}'
 */
import { createClient } from 'warren';
import { receiver } from './pipeline/receiver.ts';
import { standIns } from './pipeline/stand-ins.ts';

const PORT = Number(process.env.PORT ?? 8081);

const client = await createClient();
const app = standIns(receiver(client));
await app.listen({ port: PORT, host: '0.0.0.0' });
console.log(`POST requests to http://localhost:${PORT}/requests`);

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, async () => {
    await app.close();
    await client.close();
  });
}
