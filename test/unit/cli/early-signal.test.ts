import { expect, it } from '@jest/globals';
import { spawnNode } from '../../support/process.ts';

/** Tells when the program begins to listen for SIGTERM, which is before it loads anything else. */
const TELL = `process.on('newListener', (name) => name === 'SIGTERM' && console.error('listens'))`;

it.each([
  ['work', 'has nothing to drain', 0],
  ['status', 'says that it was cut off', 143],
])('%s, told to end while it loads, %s', async (verb, _, code) => {
  const preload = ['--import', `data:text/javascript,${encodeURIComponent(TELL)}`];
  await using program = spawnNode([...preload, 'dist/src/cli/main.js', verb], {
    env: { AMQP_URL: 'amqp://127.0.0.1:1' },
  });
  await program.waitForLine('listens');
  program.kill('SIGTERM');
  expect(await program.ended()).toEqual({ code, signal: null });
});
