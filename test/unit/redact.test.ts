import { describe, expect, it } from '@jest/globals';
import { redact } from '../../src/core/redact.ts';

describe('redact', () => {
  it.each([
    ['amqp://user:secret@host:5672/vhost', 'amqp://user:***@host:5672/vhost'],
    ['amqps://user:secret@host', 'amqps://user:***@host'],
    ['amqp://:secret@host', 'amqp://:***@host'],
    ['amqp://user:@host', 'amqp://user:***@host'],
    ['two: amqp://a:s1@h1,amqp://b:s2@h2', 'two: amqp://a:***@h1,amqp://b:***@h2'],
    ['"amqp://a:s@h" and "c@d"', '"amqp://a:***@h" and "c@d"'],
    ['connect to https://u:p%40ss@example.org/x failed', 'connect to https://u:***@example.org/x failed'],
  ])('%s', (text, hidden) => {
    expect(redact(text)).toBe(hidden);
  });

  it.each([
    'amqp://u:se@cret@host',
    'amqp://u:se/cret@host',
    'amqp://u:se:cret@host',
    "amqp://u:it's-secret@host",
  ])('hides a password that should have been percent-encoded: %s', (text) => {
    expect(redact(text)).toBe('amqp://u:***@host');
  });

  it.each(['no url, a@b:c', 'amqp://host:5672/vhost', 'amqp://user@host', 'http://localhost:3000/readyz'])(
    'leaves alone: %s',
    (text) => {
      expect(redact(text)).toBe(text);
    },
  );

  it('takes no longer than its text is long', () => {
    const long = '://a:b'.repeat(50_000);
    const began = process.cpuUsage();
    expect(redact(long)).toBe(long);
    // What the processor did for it: a busy machine may take as long as it likes.
    expect(process.cpuUsage(began).user).toBeLessThan(1_000_000);
  });
});
