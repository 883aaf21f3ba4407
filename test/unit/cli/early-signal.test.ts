import { expect, it } from '@jest/globals';
import { spawnNode } from '../../support/process.ts';

const dataUrl = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`;

/** However late the signal is sent, it comes while the program loads: that does not end. */
const LOADS_FOR_EVER = `export const load = (url, context, next) =>
  url.endsWith('/cli/program.js') ? new Promise(() => setInterval(() => {}, 1000)) : next(url, context)`;

/** Tells when the program begins to listen for SIGTERM, which is before it loads anything else. */
const TELL = `import { register } from 'node:module'
register(${JSON.stringify(dataUrl(LOADS_FOR_EVER))})
process.on('newListener', (name) => name === 'SIGTERM' && console.error('listens'))`;

it.each([
  ['work', 'has nothing to drain', 0],
  ['status', 'says that it was cut off', 143],
])('%s, told to end while it loads, %s', async (verb, _, code) => {
  await using program = spawnNode(['--import', dataUrl(TELL), 'dist/src/cli/main.js', verb], {
    env: { AMQP_URL: 'amqp://127.0.0.1:1' },
  });
  await program.waitForLine('listens');
  program.kill('SIGTERM');
  expect(await program.ended()).toEqual({ code, signal: null });
});
