/**
 * What a process is told, from wherever it is told it: argument or flag, environment, config file, default,
 * in this order. The only reader of the environment.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { QueueType } from '../topology/plan.ts';
import { type ConfigFile, flattened, loadConfigFile } from './config/file.ts';
import { located, type QueueWishes, queues } from './config/readers.ts';
import {
  type LogLevel,
  SETTINGS,
  type Setting,
  type SettingKey,
  type ValueOf,
  type Values,
} from './config/settings.ts';
import { ConfigurationError } from './core/errors.ts';
import type { Middleware } from './core/middleware.ts';
import { Registry } from './core/registry.ts';
import type { NamedSchedule } from './core/schedule.ts';
import type { JobClass } from './job.ts';
import type { ClientOptions, DeclareMode, QueueOptions, RuntimeOptions } from './options.ts';

export interface ConnectionSettings {
  readonly urls: readonly string[];
  readonly namespace: string;
  /** 0: try for ever. */
  readonly connectTimeoutMs: number;
}

export interface ClientSettings extends ConnectionSettings {
  readonly maxInFlight: number;
  readonly maxPayload: number;
  readonly deadlineMs: number;
}

export interface QueueSettings {
  readonly concurrency: number;
  readonly prefetch: number | 'auto';
  readonly type: QueueType;
}

export interface RuntimeSettings extends ClientSettings {
  readonly graceMs: number;
  readonly http: false | { readonly port: number; readonly host: string };
  readonly signals: boolean;
  /** Where children find the job classes. */
  readonly workers: string | undefined;
  /** Where children find the middleware. */
  readonly config: string | undefined;
  readonly declare: DeclareMode;
  /** Declare the levels too, before anything uses them. */
  readonly levels: boolean;
  /** Schedules of jobs by name, beside those of the job classes. */
  readonly schedules: Readonly<Record<string, NamedSchedule>>;
  /** What this process consumes, by the user's name of the queue. */
  readonly queues: ReadonlyMap<string, QueueSettings>;
  /** Also of queues that other processes consume: they are declared here, too. A queue not in it is a quorum queue. */
  readonly queueTypes: ReadonlyMap<string, QueueType>;
  readonly logLevel: LogLevel;
  /** How long the broker waits for an ack; undefined: nobody said. */
  readonly ackTimeoutMs: number | undefined;
  readonly middleware: readonly Middleware[];
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** How long a client, or a command other than `work`, waits for its first connection. */
const CLIENT_CONNECT_TIMEOUT_MS = 10_000;

/** @throws ConfigurationError naming where the value stood, what is wrong with it and what is allowed */
export function resolveClientSettings(
  options: ClientOptions = {},
  env: Environment = process.env,
): ClientSettings {
  return clientSettingsFrom([optionsSource(options), environmentSource(env)]);
}

/** @throws ConfigurationError as above, and for a job class that cannot be */
export function resolveRuntimeSettings(
  options: RuntimeOptions,
  env: Environment = process.env,
): RuntimeSettings {
  const { jobs, signals = true, queueTypes, workers, config } = options;
  const types = located("option 'queueTypes'", () => typesAsWishes(queueTypes));
  const sources = [optionsSource(options), environmentSource(env)];
  return Object.freeze({ ...runtimeSettingsFrom(sources, jobs, types), signals, workers, config });
}

function typesAsWishes(types: RuntimeOptions['queueTypes'] = {}): QueueWishes {
  return queues(Object.fromEntries(Object.entries(types).map(([name, type]) => [name, { type }])));
}

/** What the command is told: its flags, the environment and the config file. */
export async function commandSources(
  flags: Values,
  folder: string,
  env: Environment = process.env,
): Promise<readonly Source[]> {
  const sources = [flagSource(flags), environmentSource(env)];
  const file = await loadConfigFile(pick('config', sources) || undefined, folder);
  return file ? [...sources, fileSource(file)] : sources;
}

export function clientSettingsFrom(sources: readonly Source[]): ClientSettings {
  return Object.freeze(clientSettings(sources, CLIENT_CONNECT_TIMEOUT_MS));
}

/** `types` says something about queues, but not that they are consumed. */
export function runtimeSettingsFrom(
  sources: readonly Source[],
  jobs: Iterable<JobClass>,
  types: QueueWishes = {},
): RuntimeSettings {
  return Object.freeze({
    ...clientSettings(sources, SETTINGS.connectTimeout.fallback),
    graceMs: pick('grace', sources),
    http:
      pick('http', sources) && Object.freeze({ port: pick('port', sources), host: pick('host', sources) }),
    signals: true,
    workers: undefined,
    config: pick('config', sources) || undefined,
    declare: pick('declare', sources),
    levels: pick('levels', sources),
    schedules: pick('schedules', sources),
    ...queueSettings(sources, new Registry(jobs).queues, types),
    logLevel: pick('logLevel', sources),
    ackTimeoutMs: pick('ackTimeout', sources) || undefined,
    middleware: pick('middleware', sources),
  });
}

/** `warren work` with more than one process. */
export interface SupervisorSettings extends Pick<RuntimeSettings, 'graceMs' | 'http' | 'logLevel'> {
  /** 1: no supervisor. */
  readonly processes: number;
  /** 0: never. */
  readonly stallMs: number;
}

/** Reads no job class: what a user's file does at its import must not happen to the supervisor. */
export function supervisorSettingsFrom(sources: readonly Source[]): SupervisorSettings {
  const { graceMs, http, logLevel } = runtimeSettingsFrom(sources, []);
  const processes = pick('processes', sources);
  return {
    processes: processes === 'auto' ? availableParallelism() : processes,
    stallMs: pick('stallTimeout', sources),
    ...{ graceMs, http, logLevel },
  };
}

/** The middleware that a config file exports, for a child, to which functions cannot be handed over. */
export async function middlewareOf(config: string): Promise<readonly Middleware[]> {
  const file = await loadConfigFile(config, '');
  return file ? pick('middleware', [fileSource(file)]) : [];
}

/** The folder of the job classes, and whether somebody named it: the default one need not be there. */
export function workersFolderFrom(sources: readonly Source[]): { folder: string; named: boolean } {
  return { folder: pick('workers', sources), named: all('workers', sources).length > 0 };
}

/** https://no-color.org: any text in it but an empty one means no. */
export function coloursAllowed(env: Environment = process.env): boolean {
  return !env.NO_COLOR && env.TERM !== 'dumb';
}

function clientSettings(sources: readonly Source[], connectTimeoutMs: number): ClientSettings {
  return {
    urls: pick('url', sources),
    namespace: pick('namespace', sources),
    connectTimeoutMs: pick('connectTimeout', sources, connectTimeoutMs),
    maxInFlight: pick('maxInFlight', sources),
    maxPayload: pick('maxPayload', sources),
    deadlineMs: pick('deadline', sources),
  };
}

interface Found {
  /** How the place is called in a message. */
  where: string;
  value: unknown;
}

/** A place where values may stand. */
export type Source = (key: SettingKey) => Found | undefined;

function optionsSource(options: Partial<RuntimeOptions & ClientOptions>): Source {
  return valuesSource(flattened(options), (key) => `option '${key}'`);
}

function flagSource(flags: Values): Source {
  return valuesSource(flags, (key) => (SETTINGS[key] as Setting<unknown>).flag?.split(' ')[0] ?? key);
}

function fileSource({ name, path, values }: ConfigFile): Source {
  return valuesSource({ ...values, config: path }, (key) => `${name}: ${key}`);
}

function valuesSource(values: Values, whereOf: (key: SettingKey) => string): Source {
  return (key) => (values[key] === undefined ? undefined : { where: whereOf(key), value: values[key] });
}

function environmentSource(env: Environment): Source {
  return (key) => {
    const { env: names, secret }: Setting<unknown> = SETTINGS[key];
    for (const name of names) {
      const found = secret ? secretFrom(name, env) : plainFrom(name, env);
      if (found) return found;
    }
    return undefined;
  };
}

/** An empty variable counts as none: that is how compose files and CI systems say so. */
function plainFrom(name: string, env: Environment): Found | undefined {
  const value = env[name]?.trim();
  return value ? { where: name, value } : undefined;
}

function secretFrom(name: string, env: Environment): Found | undefined {
  const [plain, file] = [plainFrom(name, env), plainFrom(`${name}_FILE`, env)];
  if (plain && file)
    throw new ConfigurationError(`${plain.where} and ${file.where} are both set; unset one of them`);
  return file ? { where: file.where, value: readSecret(file) } : plain;
}

function readSecret({ where, value }: Found): string {
  try {
    return readFileSync(String(value), 'utf8').trim();
  } catch (error) {
    throw new ConfigurationError(
      `${where}: ${value} cannot be read (${(error as NodeJS.ErrnoException).code})`,
      { cause: error },
    );
  }
}

function pick<Key extends SettingKey>(
  key: Key,
  sources: readonly Source[],
  fallback: ValueOf<Key> = SETTINGS[key].fallback,
): ValueOf<Key> {
  // Only the strongest is read: what it overrules need not be sound.
  const strongest = sources.find((source) => source(key) !== undefined);
  return strongest ? (all(key, [strongest])[0] ?? fallback) : fallback;
}

/** What each place says, the strongest first. */
function all<Key extends SettingKey>(key: Key, sources: readonly Source[]): ValueOf<Key>[] {
  const { read } = SETTINGS[key] as Setting<ValueOf<Key>>;
  const found = sources.map((source) => source(key)).filter((one) => one !== undefined);
  return found.map(({ where, value }) => located(where, () => read(value)));
}

type Queues = Pick<RuntimeSettings, 'queues' | 'queueTypes'>;

/** The strongest place that names queues decides which; for each, the strongest that says something of it decides what. */
function queueSettings(sources: readonly Source[], ofJobs: readonly string[], types: QueueWishes): Queues {
  const named = all('queues', sources);
  const strongest = Object.keys(named.find((wishes) => Object.keys(wishes).length > 0) ?? {});
  const consumed = strongest.length > 0 ? strongest : ofJobs;
  const wishes = [...named, types];
  const known = new Set([...consumed, ...wishes.flatMap((queues) => Object.keys(queues))]);
  const concurrency = pick('concurrency', sources);
  const settings = new Map([...known].map((name) => [name, oneQueue(name, wishes, concurrency)]));
  return {
    queues: new Map([...settings].filter(([name]) => consumed.includes(name))),
    queueTypes: new Map([...settings].map(([name, { type }]) => [name, type])),
  };
}

function oneQueue(name: string, wishes: readonly QueueWishes[], fallback: number): QueueSettings {
  const given: QueueOptions = Object.assign({}, ...wishes.map((queues) => queues[name]).reverse());
  const { concurrency = fallback, prefetch = 'auto', type = 'quorum' } = given;
  if (prefetch !== 'auto' && prefetch < concurrency)
    throw new ConfigurationError(
      `queue '${name}': prefetch ${prefetch} is less than concurrency ${concurrency}; raise it or leave it out`,
    );
  return Object.freeze({ concurrency, prefetch, type });
}
