/**
 * Several instances of the sending service, each request sent once:
 *
 *   REDIS_URL=redis://localhost:6379 npx warren work --config examples/pipeline/warren.config.ts --queue send-to-interface
 */
import { createClient } from '@redis/client';
import { idempotent, memoryStore, redisStore } from 'warren/idempotency';

const { REDIS_URL } = process.env;

/** Called at the first claim, so that `warren status` and others open no connection. */
function connect() {
  const client = createClient({ url: REDIS_URL ?? '' });
  client.on('error', ({ message }) =>
    console.error(JSON.stringify({ level: 'warn', msg: 'redis', reason: message })),
  );
  return client.connect();
}

export default {
  workers: './once',
  middleware: [idempotent(REDIS_URL ? redisStore(connect) : memoryStore())],
};
