import { describe, expect, it } from '@jest/globals';
import { parseServer } from '../../src/broker/server.ts';
import { ConfigurationError } from '../../src/core/errors.ts';

describe('an AMQP URL', () => {
  it.each([
    ['amqp://host', { hostname: 'host', port: 5672, username: 'guest', password: 'guest', vhost: '/' }],
    ['amqp://host/', { vhost: '/' }],
    ['amqps://host', { protocol: 'amqps', port: 5671 }],
    ['amqp://u:p@host:1234/v', { username: 'u', password: 'p', hostname: 'host', port: 1234, vhost: 'v' }],
    ['amqp://u@host', { username: 'u', password: '' }],
    ['amqp://:p@host', { username: '', password: 'p' }],
    ['amqp://host/%2F', { vhost: '/' }],
    ['amqp://host/a%2Fb%20c', { vhost: 'a/b c' }],
    ['amqp://m%C3%BCller:p%C3%A4ss%23%2F%3A%40@host', { username: 'müller', password: 'päss#/:@' }],
    ['amqp://u:p+%2B@host', { password: 'p++' }],
    ['amqp://[::1]:5673', { hostname: '::1', port: 5673 }],
    ['amqp://host?heartbeat=7&channelMax=9&frameMax=8192', { heartbeat: 7, channelMax: 9, frameMax: 8192 }],
    ['amqp://host?heartbeat=0', { heartbeat: 0 }],
  ])('%s', (url, options) => {
    expect(parseServer(url).options).toMatchObject(options);
  });

  it.each([
    'http://u:secret@host',
    'u:secret@host',
    'amqp://',
    'amqp://u:secret#x@host',
    'amqp://u:secret%zz@host',
    'amqp://u:secret@host:99999',
    'amqp://u:secret@host?heartbeat=soon',
    'amqp://u:secret@host/%E4',
  ])('%s cannot be used, and is told without the password', (url) => {
    const parsing = () => parseServer(url);
    expect(parsing).toThrow(ConfigurationError);
    try {
      parsing();
    } catch (error) {
      const told = JSON.stringify([
        error,
        (error as Error).message,
        (error as Error).stack,
        (error as Error).cause,
      ]);
      expect(told).not.toContain('secret');
    }
  });

  it('is shown without its password', () => {
    expect(parseServer('amqp://user:secret@host:5673/v%2Fx?heartbeat=5').shown).toBe(
      'amqp://user@host:5673/v%2Fx',
    );
    expect(parseServer('amqp://[::1]').shown).toBe('amqp://[::1]');
  });
});
