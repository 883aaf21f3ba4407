import { expect, it } from '@jest/globals';
import type { Delivery } from '../../../src/broker/broker.ts';
import { Registry } from '../../../src/core/registry.ts';
import { Job } from '../../../src/job.ts';
import { decode } from '../../../src/run/decode.ts';

class Mail extends Job {
  static override queue = 'mail';
  perform() {}
}

const registry = new Registry([Mail]);

function decoded(body: string) {
  return decode({ body: Buffer.from(body), properties: { type: 'Mail', headers: {} } } as Delivery, registry);
}

it.each([
  ['hello my secret payload', /^the body is no valid JSON$/],
  ['{"password":"hunter2secret", "x": }', /^the body is no valid JSON( at position \d+)?$/],
  ['{"password":"hunter2secret" "x"}', /^the body is no valid JSON at position 28$/],
  ["{'password': 'hunter2secret'}", /^the body is no valid JSON at position 1$/],
])('of what is no JSON nothing is quoted: %s', (body, words) => {
  const result = decoded(body);
  expect(result).toMatchObject({ ok: false, reason: 'undecodable' });
  expect((result as { error: { message: string } }).error.message).toMatch(words);
});
