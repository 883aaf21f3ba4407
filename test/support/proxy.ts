/** A TCP proxy between a client and the broker, for the faults that a broker alone does not show. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { amqpUrl } from './broker.ts';
import { freePort } from './port.ts';

interface Pair {
  client: Socket;
  broker: Socket;
  /** One side went during a stall; the other hears of it when that is over, as with a cable pulled. */
  broken: boolean;
}

export interface FaultProxy extends AsyncDisposable {
  /** The broker's URL with the proxy's address in it. */
  readonly url: string;
  readonly port: number;
  /** Connections open right now. */
  readonly open: number;
  /** Connections accepted so far. */
  readonly accepted: number;
  /** Resets every open connection; new ones are served. */
  cut(): void;
  /** Passes nothing on, on open connections and on new ones, until `resume`. What was sent meanwhile is kept. */
  stall(): void;
  /** Ends `stall`, `refuse`, `delay` and `slice`. */
  resume(): Promise<void>;
  /** Resets every open connection and takes no new one, until `resume`. */
  refuse(): Promise<void>;
  /** Sends the clients a FIN: the broker's side says no more, the client may still write. */
  halfClose(): void;
  /** Holds every chunk back for `ms`, both ways. */
  delay(ms: number): void;
  /** Passes everything on in pieces of so many bytes, each a write of its own. */
  slice(bytes: number): void;
  close(): Promise<void>;
}

export async function startProxy(target = amqpUrl()): Promise<FaultProxy> {
  const proxy = new TcpProxy(new URL(target), await freePort());
  await proxy.listen();
  return proxy;
}

class TcpProxy implements FaultProxy {
  readonly #target: URL;
  readonly #pairs = new Set<Pair>();
  #server: Server | undefined;
  #stalled = false;
  #lag = 0;
  #piece = Number.POSITIVE_INFINITY;
  /** The same after a cut. */
  readonly port: number;
  accepted = 0;

  constructor(target: URL, port: number) {
    this.#target = target;
    this.port = port;
  }

  get url(): string {
    const url = new URL(this.#target);
    url.host = `127.0.0.1:${this.port}`;
    return url.href;
  }

  get open(): number {
    return this.#pairs.size;
  }

  async listen(): Promise<void> {
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
    this.#server.listen(this.port, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  #accept(client: Socket): void {
    this.accepted += 1;
    const broker = connect({
      host: this.#target.hostname,
      port: Number(this.#target.port || 5672),
      allowHalfOpen: true,
      noDelay: true,
    });
    client.setNoDelay(true);
    const pair = { client, broker, broken: false };
    this.#pairs.add(pair);
    this.#pass(client, broker);
    this.#pass(broker, client);
    const end = () => {
      if (this.#stalled) pair.broken = true;
      else this.#end(pair);
    };
    for (const socket of [client, broker]) socket.on('error', end).on('close', end);
    if (this.#stalled) this.#hold(pair);
  }

  #pass(from: Socket, to: Socket): void {
    const later = this.#lane();
    from.on('data', (chunk) => later(() => this.#write(from, to, chunk)));
    from.on('end', () => later(() => to.end()));
  }

  #write(from: Socket, to: Socket, chunk: Buffer): void {
    if (to.destroyed || to.writableEnded) return;
    let room = true;
    for (let at = 0; at < chunk.length; at += this.#piece)
      room = to.write(chunk.subarray(at, at + this.#piece));
    if (room) return;
    from.pause();
    to.once('drain', () => this.#stalled || from.resume());
  }

  /** Steps of one direction, each held back for as long as the delay is then; never one before an earlier one. */
  #lane(): (step: () => void) => void {
    const held: (() => void)[] = [];
    const next = () => {
      const step = held.shift();
      step?.();
    };
    return (step) => {
      if (this.#lag === 0 && held.length === 0) {
        step();
        return;
      }
      held.push(step);
      // A timer a step: however they fire, each lets the oldest go.
      setTimeout(next, this.#lag);
    };
  }

  #end(pair: Pair): void {
    this.#pairs.delete(pair);
    pair.client.destroy();
    pair.broker.destroy();
  }

  #hold({ client, broker }: Pair): void {
    client.pause();
    broker.pause();
  }

  cut(): void {
    for (const pair of [...this.#pairs]) {
      pair.client.resetAndDestroy();
      this.#end(pair);
    }
  }

  stall(): void {
    this.#stalled = true;
    for (const pair of this.#pairs) this.#hold(pair);
  }

  async resume(): Promise<void> {
    this.#stalled = false;
    this.#lag = 0;
    this.#piece = Number.POSITIVE_INFINITY;
    if (!this.#server) await this.listen();
    for (const pair of [...this.#pairs]) {
      if (pair.broken) this.#end(pair);
      pair.client.resume();
      pair.broker.resume();
    }
  }

  async refuse(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.cut();
    if (server) await new Promise((done) => server.close(done));
  }

  halfClose(): void {
    for (const { client } of this.#pairs) client.end();
  }

  delay(ms: number): void {
    this.#lag = ms;
  }

  slice(bytes: number): void {
    this.#piece = bytes;
  }

  async close(): Promise<void> {
    await this.refuse();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
