import { expect, it } from '@jest/globals';
import { Tail } from '../../../src/isolate/tail.ts';

it('keeps the end of what a child wrote', () => {
  const tail = new Tail();
  for (let line = 0; line < 1_000; line++) tail.add(`line ${line}\n`);
  expect(tail.text).toMatch(/line 998\nline 999$/);
  expect(tail.text.length).toBeLessThanOrEqual(3_000);
});

it('shows no part of a password, wherever the text is cut', () => {
  const url = 'amqp://me:s3cr3t-s3cr3t@broker/';
  for (let more = 2_960; more < 3_000; more++) {
    const tail = new Tail();
    tail.add(`cannot reach ${url}`);
    tail.add('x'.repeat(more));
    expect(tail.text).not.toMatch(/s3cr3t|cr3t|3t@/);
  }
});

it('nor of one that comes in two parts', () => {
  const tail = new Tail();
  tail.add('amqp://me:s3c');
  tail.add('r3t@broker/\n');
  expect(tail.text).toBe('amqp://me:***@broker/');
});
