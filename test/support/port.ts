import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below the range that the kernel gives outgoing connections (from 32768), where one of them may take a port between the
 * moment it is found free and the moment its program listens, and below bin/broker's. Above 10080, the last of the ports
 * that `fetch` refuses: https://fetch.spec.whatwg.org/#port-blocking
 */
const FIRST = 10_100;
/** Each of jest's workers has ports of its own, so that no two test files running side by side are given one. */
const EACH = 500;
const first = FIRST + EACH * (Number(process.env.JEST_WORKER_ID ?? 0) % 10);

let next = Math.floor(Math.random() * EACH);

/** A port for a program yet to be started, on any interface; this process will not give it out again soon. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < EACH; tries++) {
    const port = first + (next++ % EACH);
    if (await isFree(port)) return port;
  }
  throw new Error(`no port is free from ${first} to ${first + EACH - 1}`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port);
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  await new Promise((closed) => server.close(closed));
  return true;
}
