import { expect, it } from '@jest/globals';
import { type Buried, inFull } from '../../../src/dead-letters/letter.ts';
import { namesFor } from '../../../topology/names.ts';

const PLACE = { names: namesFor(), queue: 'mail' };

function shown(body: string, headers: Record<string, unknown> = {}) {
  const message = { body: Buffer.from(body), properties: { messageId: 'one', headers }, routingKey: 'mail' };
  return inFull(message as unknown as Buried, PLACE);
}

it('shows a payload as what it is, and what is none in base64', () => {
  expect(shown('{"n":1}')).toMatchObject({ id: 'one', payload: { n: 1 } });
  expect(shown('{"n":')).toMatchObject({ id: 'one', body: Buffer.from('{"n":').toString('base64') });
});

/** So deep that JSON.parse reads it and JSON.stringify does not write it: one letter must not hide all others. */
it('shows what is nested thousands deep as far as it can be written', () => {
  const body = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  const deep = Array.from({ length: 100_000 }).reduce((inner) => [inner], 1);
  const letter = shown(body, { 'x-shard': 7, deep });
  expect(letter).toMatchObject({ body: Buffer.from(body).toString('base64') });
  expect(letter.headers).toEqual({ 'x-shard': 7, '…': 'the rest is nested too deep to be shown' });
  expect(() => JSON.stringify(letter)).not.toThrow();
});
