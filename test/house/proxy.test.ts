import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type FaultProxy, startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

/** A connection to the echo server through the proxy, and what came back. */
class Caller {
  readonly socket: Socket;
  heard = '';
  ended = false;
  error: NodeJS.ErrnoException | undefined;
  closed = false;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.on('data', (chunk) => {
      this.heard += chunk;
    });
    this.socket.on('end', () => {
      this.ended = true;
    });
    this.socket.on('error', (error) => {
      this.error = error;
    });
    this.socket.on('close', () => {
      this.closed = true;
    });
  }

  say(words: string): void {
    this.socket.write(words);
  }

  hears(words: string): Promise<boolean> {
    return until(() => this.heard === words, { what: `the echo ${words}`, every: 2 });
  }
}

/** Time for anything that could come to come: a round trip through another connection of the same proxy. */
async function roundTrip(port: number): Promise<void> {
  const other = new Caller(port);
  other.say('ping');
  await other.hears('ping');
  other.socket.destroy();
}

let echo: Server;
let served: Socket[];
let proxy: FaultProxy;
let caller: Caller;

beforeEach(async () => {
  served = [];
  echo = createServer({ allowHalfOpen: true }, (socket) => {
    served.push(socket);
    socket.on('error', () => {}).pipe(socket);
  });
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  proxy = await startProxy(`amqp://u:p@127.0.0.1:${(echo.address() as AddressInfo).port}/v`);
  caller = new Caller(proxy.port);
  caller.say('a');
  await caller.hears('a');
});

afterEach(async () => {
  caller.socket.destroy();
  await proxy.close();
  await new Promise((done) => echo.close(done));
});

describe('the proxy', () => {
  it('has the URL of its target but for the address', () => {
    expect(proxy.url).toBe(`amqp://u:p@127.0.0.1:${proxy.port}/v`);
  });

  it('cuts what is open and serves what comes next', async () => {
    proxy.cut();
    await until(() => caller.closed);
    expect(caller.error?.code).toBe('ECONNRESET');
    expect(proxy.open).toBe(0);
    await roundTrip(proxy.port);
    expect(proxy.accepted).toBe(2);
  });

  it('stalls old and new connections alike, and passes on after it all that was sent', async () => {
    proxy.stall();
    caller.say('b');
    const late = new Caller(proxy.port);
    late.say('x');
    await once(late.socket, 'connect');
    await roundTrip((echo.address() as AddressInfo).port);
    expect([caller.heard, late.heard]).toEqual(['a', '']);
    await proxy.resume();
    await Promise.all([caller.hears('ab'), late.hears('x')]);
    late.socket.destroy();
  });

  it('keeps the end of one side from the other while it stalls', async () => {
    proxy.stall();
    for (const socket of served) socket.resetAndDestroy();
    const direct = (echo.address() as AddressInfo).port;
    for (let trips = 0; trips < 5; trips += 1) await roundTrip(direct);
    expect(caller.ended).toBe(false);
    await proxy.resume();
    await until(() => caller.ended);
  });

  it('refuses, and comes back on the same port', async () => {
    const { port } = proxy;
    await proxy.refuse();
    const refused = new Caller(port);
    await until(() => refused.error);
    expect(refused.error?.code).toBe('ECONNREFUSED');
    await proxy.resume();
    await roundTrip(port);
  });

  it('closes one half only', async () => {
    proxy.halfClose();
    await until(() => caller.ended);
    caller.say('b');
    await roundTrip(proxy.port);
    expect(caller.closed).toBe(false);
  });

  it('delays without reordering', async () => {
    proxy.delay(40);
    const from = performance.now();
    for (const letter of 'bcdef') caller.say(letter);
    await caller.hears('abcdef');
    // Two timers, each of which may be 2 ms early where the kernel's coarse clock, in ms, is the one they go by.
    expect(performance.now() - from).toBeGreaterThanOrEqual(76);
  });

  it('carries more than its buffers hold', async () => {
    caller.say('b'.repeat(4 << 20));
    await until(() => caller.heard.length === 1 + (4 << 20), { what: '4 MiB back' });
  });
});
