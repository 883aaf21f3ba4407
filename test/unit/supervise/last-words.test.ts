import { expect, it } from '@jest/globals';
import { LastWords } from '../../../src/supervise/last-words.ts';

const heard = (...chunks: (string | Buffer)[]) => {
  const words = new LastWords();
  for (const chunk of chunks) words.add(Buffer.from(chunk));
  return words.lines;
};

it('are lines, also one that nobody ended', () => {
  expect(heard('the la', 'st\n\n  \r\nof', ' it')).toEqual(['the last', 'of it']);
  expect(heard(Buffer.from('gr\u00fc').subarray(0, 3), Buffer.from('\u00fc').subarray(1))).toEqual([
    'gr\u00fc',
  ]);
});

it('are the last forty', () => {
  const lines = heard(Array.from({ length: 100 }, (_, n) => `line ${n}\n`).join(''), 'the end');
  expect([lines.length, lines[0], lines.at(-1)]).toEqual([40, 'line 61', 'the end']);
});

it('take no more memory for a line that does not end', () => {
  const words = new LastWords();
  const chunk = Buffer.alloc(64 * 1024, 'x');
  for (let n = 0; n < 100; n++) words.add(chunk);
  expect(words.lines).toEqual(['x'.repeat(1_000)]);
  words.add(Buffer.from('\nnext'));
  expect(words.lines).toEqual(['x'.repeat(1_000), 'next']);
  // What is hidden makes room in which more of it would be seen, were it still there.
  expect(heard(`amqp://me:${'x'.repeat(3_900)}@b`, ' and ', 'y'.repeat(100), 'z').join()).not.toContain('z');
});

it('show no part of a password, wherever a line is cut', () => {
  const url = 'amqp://me:s3cr3t-s3cr3t@broker/';
  for (const cut of [1_000, 4_000])
    for (let before = cut - 35; before <= cut; before++)
      for (const end of ['', '\n'])
        expect(heard(`${'x'.repeat(before)} ${url}${end}`).join()).not.toContain('s3c');
  // Many of them, which get shorter as they are hidden, so that the cut at the end comes into sight.
  const many = `amqp://me:${'s3cr3t'.repeat(100)}@b `.repeat(10);
  expect(heard(many).join()).not.toContain('s3c');
});
