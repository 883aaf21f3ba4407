/** One connection to one of several brokers, opened again for as long as it is wanted. */
import { type AmqpConnectionManager, AmqpConnectionManagerClass } from 'amqp-connection-manager';
import type { Channel, ChannelModel, ConfirmChannel, Options } from 'amqplib';
import { redact } from '../core/redact.ts';
import { jittered, messageOf, Pause, settledWithin, within } from '../deadline.ts';
import { gatherWrites, isGone, onceGone, surviveDeepHeaders } from './amqplib.ts';
import type { BrokerEvents, ConnectionRole } from './broker.ts';
import type { Server } from './server.ts';

export interface ConnectionOptions {
  role: ConnectionRole;
  servers: readonly Server[];
  /** Seconds. */
  heartbeat: number;
  /** How the connection is called in the broker's management UI. */
  name: string;
  connectTimeoutMs: number;
  random: () => number;
  emit<E extends 'connected' | 'disconnected' | 'blocked' | 'unblocked'>(
    event: E,
    data: BrokerEvents[E],
  ): void;
}

/** Told what happens to a connection. None of these may throw. */
export interface ConnectionWatcher {
  up?(): void;
  down?(): void;
  blocked?(): void;
  unblocked?(): void;
  /** Whether somebody waits for the connection just now, with a deadline. */
  awaits?(): boolean;
}

/** A connection that lived shorter than this goes on with the back-off it came from. */
const STABLE_AFTER_MS = 10_000;
/** How long a socket may take to say goodbye after its connection has ended. */
const LAST_WORDS_MS = 500;
/** The longest wait between two tries while somebody waits: a deadline of 5 s must not pass in a pause. */
const AWAITED_MS = 1000;
const CHANNEL_OPEN_MS = 10_000;

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #watchers = new Set<ConnectionWatcher>();
  readonly #pause = new Pause();
  #connector: AmqpConnectionManager | undefined;
  #model: ChannelModel | undefined;
  #server: Server;
  /** Aborting it destroys the socket of the current try or connection, whatever state that is in. */
  #cut = new AbortController();
  #deadline: NodeJS.Timeout | undefined;
  #tries = 0;
  /** Once a pause: who publishes much would leave no pause at all. */
  #hurried = false;
  #failures = 0;
  #upSince = 0;
  #blockedBy: string | undefined;
  #version: string | undefined;
  #reason = 'it was not opened yet';

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#server = options.servers[0] as Server;
  }

  /** It was asked for, and was not closed since. */
  get wanted(): boolean {
    return this.#connector !== undefined;
  }

  get isUp(): boolean {
    return this.#model !== undefined;
  }

  /** The reason of the alarm while the broker takes no messages. */
  get blockedBy(): string | undefined {
    return this.#blockedBy;
  }

  get version(): string | undefined {
    return this.#version;
  }

  /** Why it is not up, in words that may be shown. */
  get reason(): string {
    return this.#reason;
  }

  get server(): string {
    return this.#server.shown;
  }

  watch(watcher: ConnectionWatcher): () => void {
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  /** Starts to try. Does nothing when it is open or being opened. */
  open(): void {
    if (this.#connector) return;
    this.#failures = 0;
    // One server at a time from `findServers`: that is how the order of hosts and the wait between two tries
    // become ours, with jitter; the connector's own wait is fixed, and kept next to nothing.
    const connector = new AmqpConnectionManagerClass(undefined, {
      findServers: () => this.#nextServer(connector),
      heartbeatIntervalInSeconds: this.#options.heartbeat,
      reconnectTimeInSeconds: 0.001,
    });
    this.#connector = connector;
    const mine = () => this.#connector === connector;
    connector.on('connect', ({ connection }) => mine() && this.#up(connection as unknown as ChannelModel));
    connector.on('connectFailed', ({ err }) => mine() && this.#failed(err));
    connector.on('disconnect', ({ err }) => mine() && this.#lost(err));
    connector.on('blocked', ({ reason }) => mine() && this.#blocked(reason));
    connector.on('unblocked', () => mine() && this.#unblocked());
    // It rejects on refused credentials but goes on trying, as we want: they may be put right.
    connector.connect().catch(() => {});
  }

  /** Somebody waits for it now: cuts the wait for the next try short. */
  hurry(): void {
    if (this.#hurried) return;
    this.#hurried = true;
    this.#pause.shorten(this.#options.random() * AWAITED_MS);
  }

  /** Resolves once it is up; rejects with a TimeUpError after `ms`, or with an Error when it is closed meanwhile. */
  async whenUp(ms: number): Promise<void> {
    if (this.isUp) return;
    let unwatch = () => {};
    const up = new Promise<void>((resolve, reject) => {
      unwatch = this.watch({ up: resolve, down: () => !this.wanted && reject(new Error(this.#reason)) });
    });
    await (ms > 0 ? within(ms, `connecting to ${this.server}`, up) : up).finally(unwatch);
  }

  /** @throws Error when it is not up, or the broker does not open one in time. */
  openChannel(): Promise<Channel> {
    return this.#channel((model) => model.createChannel());
  }

  openConfirmChannel(): Promise<ConfirmChannel> {
    return this.#channel((model) => model.createConfirmChannel());
  }

  /** Ends it, politely until `timeout` ms have passed. Leaves no socket and no timer. Never rejects. */
  async close(timeout: number): Promise<void> {
    const connector = this.#connector;
    if (!connector) return;
    this.#connector = undefined;
    this.#reason = 'it was closed';
    const model = this.#model;
    const closed = connector.close().catch(() => {});
    if (!model) this.#cut.abort(new Error(this.#reason));
    this.#pause.end();
    this.#forget();
    const gone = model ? new Promise<void>((resolve) => onceGone(model, resolve)) : closed;
    await settledWithin(timeout, Promise.race([closed, gone]));
    this.#destroySocketSoon();
  }

  async #channel<C extends Channel>(create: (model: ChannelModel) => Promise<C>): Promise<C> {
    const model = this.#model;
    if (!model) throw new Error(`not connected to ${this.server}: ${this.#reason}`);
    const opening = create(model);
    try {
      const channel = await within(CHANNEL_OPEN_MS, 'opening a channel', opening);
      // Whoever uses it adds what it wants to know; without any listener an error would end the connection.
      channel.on('error', () => {});
      return channel;
    } catch (error) {
      opening.then((late) => late.close()).catch(() => {});
      throw error;
    }
  }

  async #nextServer(connector: AmqpConnectionManager): Promise<Options.Connect> {
    const awaited = [...this.#watchers].some((watcher) => watcher.awaits?.());
    const most = awaited ? AWAITED_MS : undefined;
    this.#hurried = awaited;
    await this.#pause.take(jittered(this.#failures, this.#options.random, undefined, most));
    if (this.#connector !== connector) throw new Error(this.#reason);
    const { servers, connectTimeoutMs, name } = this.#options;
    const server = servers[this.#tries++ % servers.length] as Server;
    const cut = new AbortController();
    this.#server = server;
    this.#cut = cut;
    const late = new Error(`no answer within ${connectTimeoutMs} ms`);
    this.#deadline = setTimeout(() => cut.abort(late), connectTimeoutMs);
    connector.connectionOptions = {
      noDelay: true,
      keepAlive: true,
      keepAliveDelay: 30_000,
      clientProperties: { connection_name: name },
      signal: cut.signal,
    } as NonNullable<AmqpConnectionManager['connectionOptions']>;
    return server.options;
  }

  #up(model: ChannelModel): void {
    clearTimeout(this.#deadline);
    // Closed by the broker in the same breath as it was opened: the connector has not heard of it.
    if (isGone(model)) {
      model.emit('close', new Error('closed by the broker as soon as it was opened'));
      return;
    }
    gatherWrites(model);
    surviveDeepHeaders(model);
    this.#model = model;
    this.#upSince = performance.now();
    this.#version = String(model.connection.serverProperties.version);
    this.#options.emit('connected', { role: this.#options.role, url: this.server });
    for (const watcher of [...this.#watchers]) watcher.up?.();
  }

  #failed(error: unknown): void {
    clearTimeout(this.#deadline);
    const cause = this.#cut.signal.aborted ? this.#cut.signal.reason : error;
    this.#reason = redact(whyNot(cause));
    this.#failures++;
    this.#tell(false);
  }

  #lost(error: unknown): void {
    if (performance.now() - this.#upSince > STABLE_AFTER_MS) this.#failures = 0;
    this.#failures++;
    this.#reason = redact(error instanceof Error ? error.message : 'the connection was lost');
    this.#destroySocketSoon();
    const wasUp = this.#model !== undefined;
    this.#forget();
    this.#tell(wasUp);
  }

  #forget(): void {
    clearTimeout(this.#deadline);
    this.#model = undefined;
    this.#unblocked();
    for (const watcher of [...this.#watchers]) watcher.down?.();
  }

  #tell(lost: boolean): void {
    const { role, emit } = this.#options;
    emit('disconnected', { role, url: this.server, reason: this.#reason, lost });
  }

  /** amqplib only half-closes its socket: with a silent peer that would hold the process for ever. */
  #destroySocketSoon(): void {
    const cut = this.#cut;
    setTimeout(() => cut.abort(), LAST_WORDS_MS).unref();
  }

  #blocked(reason: string): void {
    this.#blockedBy = reason || 'a resource alarm';
    this.#options.emit('blocked', { reason: this.#blockedBy });
    for (const watcher of [...this.#watchers]) watcher.blocked?.();
  }

  #unblocked(): void {
    if (this.#blockedBy === undefined) return;
    this.#blockedBy = undefined;
    this.#options.emit('unblocked', {});
    for (const watcher of [...this.#watchers]) watcher.unblocked?.();
  }
}

/** amqplib names only the frame it had not expected. */
const REFUSED_VHOST = /^Expected ConnectionOpenOk; got <ConnectionClose/;

function whyNot(cause: unknown): string {
  const said = messageOf(cause) || String((cause as { code?: unknown }).code);
  if (!REFUSED_VHOST.test(said)) return said;
  return 'the broker refused the virtual host: is there one of that name, and may this user enter it?';
}
