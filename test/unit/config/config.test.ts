import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SETTINGS } from '../../../src/config/settings.ts';
import {
  clientSettingsFrom,
  coloursAllowed,
  commandSources,
  type Environment,
  resolveClientSettings,
  resolveRuntimeSettings,
  runtimeSettingsFrom,
  workersFolderFrom,
} from '../../../src/config.ts';
import { ConfigurationError } from '../../../src/core/errors.ts';
import { Job } from '../../../src/job.ts';
import type { RuntimeOptions } from '../../../src/options.ts';

class Mail extends Job {
  static override queue = 'mail';
  perform() {}
}

class Report extends Job {
  static override queue = 'report';
  perform() {}
}

const jobs = [Mail, Report];
const runtime = (options: Partial<RuntimeOptions> = {}, env: Environment = {}) =>
  resolveRuntimeSettings({ jobs, ...options }, env);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'warren-config-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** A file of the folder, with its path. */
async function file(name: string, content: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

describe('defaults', () => {
  it('of a client', () => {
    expect(resolveClientSettings({}, {})).toEqual({
      urls: ['amqp://guest:guest@localhost:5672'],
      namespace: '',
      connectTimeoutMs: 10_000,
      maxInFlight: 1000,
      maxPayload: 8_388_608,
      deadlineMs: 30_000,
    });
  });

  it('of a runtime: every queue that a job names', () => {
    const settings = runtime();
    expect(settings).toMatchObject({
      connectTimeoutMs: 60_000,
      graceMs: 30_000,
      http: { port: 3000, host: '0.0.0.0' },
      signals: true,
      declare: 'full',
      logLevel: 'info',
    });
    expect([...settings.queues.keys()]).toEqual(['mail', 'report']);
    expect(settings.queues.get('mail')).toEqual({ concurrency: 10, prefetch: 'auto', type: 'quorum' });
  });

  it('are what the table says', () => {
    for (const [key, { fallback, read }] of Object.entries(SETTINGS))
      if (!['config'].includes(key))
        expect([key, (read as (value: unknown) => unknown)(fallback)]).toEqual([key, fallback]);
  });

  it('cannot be changed afterwards', () => {
    const settings = runtime();
    for (const frozen of [settings, settings.http, settings.urls, settings.queues.get('mail')])
      expect(Object.isFrozen(frozen)).toBe(true);
  });
});

describe('precedence', () => {
  it('an argument beats the environment', () => {
    expect(runtime({ grace: '5s' }, { WARREN_GRACE: '7s' }).graceMs).toBe(5_000);
    expect(runtime({}, { WARREN_GRACE: '7s' }).graceMs).toBe(7_000);
  });

  it('what is overruled need not be sound', () => {
    expect(resolveClientSettings({ url: 'amqp://a' }, { AMQP_URL: 'nonsense' }).urls).toEqual(['amqp://a']);
  });

  it('an empty variable counts as none', () => {
    expect(
      resolveClientSettings({}, { AMQP_URL: '', RABBITMQ_URL: 'amqp://r', WARREN_NAMESPACE: ' ' }),
    ).toMatchObject({
      urls: ['amqp://r'],
      namespace: '',
    });
  });

  it('an undefined option counts as none, an empty namespace as none wanted', () => {
    expect(
      runtime({ grace: undefined, namespace: '' }, { WARREN_GRACE: '7s', WARREN_NAMESPACE: 'acme' }),
    ).toMatchObject({
      graceMs: 7_000,
      namespace: '',
    });
  });

  it('flag, environment, file, default', async () => {
    const config = await file(
      'order.json',
      '{ "grace": "1s", "port": 1, "host": "file", "logLevel": "warn" }',
    );
    const env = { WARREN_GRACE: '2s', WARREN_PORT: '2' };
    const settings = runtimeSettingsFrom(await commandSources({ config, grace: '3s' }, folder, env), []);
    expect(settings).toMatchObject({
      graceMs: 3_000,
      http: { port: 2, host: 'file' },
      logLevel: 'warn',
      declare: 'full',
    });
  });
});

describe('the URL', () => {
  it.each([
    [{ AMQP_URL: 'amqp://a', RABBITMQ_URL: 'amqp://r', CLOUDAMQP_URL: 'amqp://c' }, 'amqp://a'],
    [{ RABBITMQ_URL: 'amqp://r', CLOUDAMQP_URL: 'amqp://c' }, 'amqp://r'],
    [{ CLOUDAMQP_URL: 'amqps://c' }, 'amqps://c'],
  ])('comes from %j', (env, url) => {
    expect(resolveClientSettings({}, env).urls).toEqual([url]);
  });

  it('may be several, and a password may hold a comma', () => {
    const AMQP_URL = 'amqp://u:p,w@a:1/v, amqps://b';
    expect(resolveClientSettings({}, { AMQP_URL }).urls).toEqual(['amqp://u:p,w@a:1/v', 'amqps://b']);
    expect(resolveClientSettings({ url: ['amqp://a', 'amqp://b'] }, {}).urls).toEqual([
      'amqp://a',
      'amqp://b',
    ]);
  });

  it('comes from a file for secrets', async () => {
    const AMQP_URL_FILE = await file('secret', 'amqp://u:pw@a\n');
    expect(resolveClientSettings({}, { AMQP_URL_FILE }).urls).toEqual(['amqp://u:pw@a']);
  });

  it('comes from one place, or it says so', async () => {
    expect(() => resolveClientSettings({}, { AMQP_URL: 'amqp://a', AMQP_URL_FILE: '/f' })).toThrow(
      'AMQP_URL and AMQP_URL_FILE are both set; unset one of them',
    );
    expect(() => resolveClientSettings({}, { AMQP_URL_FILE: '/not/there' })).toThrow(
      'AMQP_URL_FILE: /not/there cannot be read (ENOENT)',
    );
  });

  it.each([
    'http://u:geheim@a',
    'amqp//u:geheim@a',
    'u:geheim@a',
    'amqp://u:geheim@a:99999999',
    'amqp://u:geheim#%@a:port',
    'amqp://a,amqp//u:geheim@b',
  ])('%s is refused without showing its password', (url) => {
    for (const wrong of [
      () => resolveClientSettings({ url }, {}),
      () => resolveClientSettings({}, { AMQP_URL: url }),
    ]) {
      expect(wrong).toThrow(ConfigurationError);
      expect(wrong).toThrow(/^(option 'url'|AMQP_URL): .*allowed: amqp:\/\/user:password@host/);
      expect(wrong).not.toThrow(/geheim/);
    }
  });

  it.each([['', []]])('%j is none', (url) => {
    expect(() => resolveClientSettings({ url }, { AMQP_URL: 'amqp://a' })).toThrow(ConfigurationError);
  });
});

describe('queues', () => {
  it('as text: the number stands behind the last colon', () => {
    const { queues } = runtime({}, { WARREN_QUEUES: 'mail:20, a:b:3,report,x:y', WARREN_CONCURRENCY: '4' });
    expect([...queues].map(([name, { concurrency }]) => [name, concurrency])).toEqual([
      ['mail', 20],
      ['a:b', 3],
      ['report', 4],
      ['x:y', 4],
    ]);
  });

  it.each([
    'mail:',
    'mail:2x',
    'mail:-1',
    'mail:1.5',
    'mail:0',
    ':3',
    'a,,b',
    'a,a:2',
    'mail.dead',
    'jobs',
    'a b',
    'x:70000',
  ])('as text: %s is refused', (WARREN_QUEUES) => {
    expect(() => runtime({}, { WARREN_QUEUES })).toThrow(/^WARREN_QUEUES: /);
  });

  it('in code: concurrency, prefetch and type', () => {
    const { queues } = runtime({
      queues: { mail: { concurrency: 3, prefetch: 6 }, old: { type: 'classic' } },
    });
    expect([...queues]).toEqual([
      ['mail', { concurrency: 3, prefetch: 6, type: 'quorum' }],
      ['old', { concurrency: 10, prefetch: 'auto', type: 'classic' }],
    ]);
  });

  it.each([
    [{ mail: { concurrency: 0 } }, /concurrency of queue 'mail': 0 cannot be used/],
    [
      { mail: { concurency: 3 } },
      /queue 'mail' has no setting 'concurency'; allowed: concurrency, prefetch, type/,
    ],
    [
      { mail: { prefetch: 'many' } },
      /prefetch of queue 'mail': "many" cannot be used; allowed: 'auto' or a whole number/,
    ],
    [{ mail: { concurrency: 20, prefetch: 5 } }, /queue 'mail': prefetch 5 is less than concurrency 20/],
    [
      { mail: { type: 'stream' } },
      /type of queue 'mail': "stream" is not one of them; allowed: quorum, classic/,
    ],
    [{ mail: 20 }, /20 is no description of queue 'mail'/],
    [{ 'mail.dead': {} }, /warren keeps that name/],
    [7, /7 names no queues/],
  ])('in code: %j is refused', (queues, message) => {
    expect(() => runtime({ queues: queues as never })).toThrow(message);
  });

  it('which ones by the strongest place that names some, what about each by all places', async () => {
    const config = await file(
      'queues.json',
      '{ "queues": { "mail": { "type": "classic", "concurrency": 2 }, "old": { "type": "classic" } } }',
    );
    const sources = await commandSources({ config, queues: ['mail:7'] }, folder, {
      WARREN_QUEUES: 'report:3',
    });
    const { queues, queueTypes } = runtimeSettingsFrom(sources, jobs);
    expect([...queues]).toEqual([['mail', { concurrency: 7, prefetch: 'auto', type: 'classic' }]]);
    expect(Object.fromEntries(queueTypes)).toEqual({ mail: 'classic', report: 'quorum', old: 'classic' });
  });

  it('have a type also where others consume them', () => {
    const { queues, queueTypes } = runtime({ queues: { mail: {} }, queueTypes: { report: 'classic' } });
    expect([...queues.keys()]).toEqual(['mail']);
    expect(Object.fromEntries(queueTypes)).toEqual({ mail: 'quorum', report: 'classic' });
    expect(runtime({ queueTypes: { mail: 'classic' } }).queues.get('mail')?.type).toBe('classic');
    expect(() => runtime({ queueTypes: { report: 'stream' as never } })).toThrow(
      /^option 'queueTypes': type of queue 'report': "stream" is not one of them/,
    );
  });

  it('of jobs that cannot be are refused', () => {
    class Broken extends Job {
      static override queue = 'mail.dead';
      perform() {}
    }
    expect(() => runtime({ jobs: [Broken] })).toThrow(ConfigurationError);
  });
});

describe('values', () => {
  it.each([
    ['WARREN_GRACE', '30', /WARREN_GRACE: "30" is no usable duration; allowed: .*'30s'/],
    ['WARREN_GRACE', '-1s', /WARREN_GRACE/],
    ['WARREN_GRACE', '30d', /at most 24d/],
    ['WARREN_CONNECT_TIMEOUT', 'soon', /WARREN_CONNECT_TIMEOUT/],
    ['WARREN_PORT', '70000', /WARREN_PORT: "70000" cannot be used; allowed: a whole number from 0 to 65535/],
    ['WARREN_PORT', '3e3', /WARREN_PORT/],
    ['WARREN_HTTP', 'maybe', /WARREN_HTTP: "maybe" is neither yes nor no/],
    ['WARREN_DECLARE', 'all', /WARREN_DECLARE: "all" is not one of them; allowed: full, verify, none/],
    ['WARREN_LOG_LEVEL', 'loud', /WARREN_LOG_LEVEL/],
    ['WARREN_NAMESPACE', 'a.b', /WARREN_NAMESPACE: namespace "a.b" cannot be used/],
    ['WARREN_CONCURRENCY', '0', /WARREN_CONCURRENCY/],
    ['WARREN_MAX_IN_FLIGHT', '0', /WARREN_MAX_IN_FLIGHT/],
    ['WARREN_MAX_PAYLOAD', '1MB', /WARREN_MAX_PAYLOAD/],
    ['WARREN_DEADLINE', 'never', /WARREN_DEADLINE/],
  ])('%s=%s is refused', (name, value, message) => {
    expect(() => runtime({}, { [name]: value })).toThrow(ConfigurationError);
    expect(() => runtime({}, { [name]: value })).toThrow(message);
  });

  it.each([
    [{ WARREN_CONNECT_TIMEOUT: '0' }, { connectTimeoutMs: 0 }],
    [{ WARREN_GRACE: '1m30s' }, { graceMs: 90_000 }],
    [{ WARREN_HTTP: 'off' }, { http: false }],
    [{ WARREN_PORT: '0', WARREN_HOST: '::1' }, { http: { port: 0, host: '::1' } }],
    [{ WARREN_DECLARE: 'verify' }, { declare: 'verify' }],
    [{ WARREN_LOG_LEVEL: 'silent' }, { logLevel: 'silent' }],
    [{ WARREN_NAMESPACE: 'acme' }, { namespace: 'acme' }],
    [
      { WARREN_DEADLINE: '5s', WARREN_MAX_PAYLOAD: '10', WARREN_MAX_IN_FLIGHT: '3' },
      { deadlineMs: 5_000, maxPayload: 10, maxInFlight: 3 },
    ],
  ])('%j', (env, expected) => {
    expect(runtime({}, env)).toMatchObject(expected);
  });

  it.each([
    [{ grace: Number.NaN }, /option 'grace': null is no usable duration/],
    [{ grace: true as never }, /option 'grace': true is no duration/],
    [{ http: { port: -1 } }, /option 'port'/],
    [{ declare: 'no' as never }, /option 'declare'/],
    [{ maxInFlight: 1.5 }, /option 'maxInFlight'/],
    [{ namespace: 5 as never }, /option 'namespace'/],
  ])('option %j is refused', (options, message) => {
    expect(() => runtime(options)).toThrow(ConfigurationError);
    expect(() => runtime(options)).toThrow(message);
  });

  it('an http option switches it on against the environment, false switches it off', () => {
    expect(runtime({ http: { port: 5 } }, { WARREN_HTTP: 'no' }).http).toEqual({ port: 5, host: '0.0.0.0' });
    expect(runtime({ http: false }, { WARREN_PORT: '5' }).http).toBe(false);
  });
});

describe('the config file', () => {
  const from = async (config: string) =>
    runtimeSettingsFrom(await commandSources({ config }, folder, {}), []);

  it.each([
    ['a.json', '{ "http": { "port": 4 }, "namespace": "acme" }'],
    ['a.mjs', 'export default { http: { port: 4 }, namespace: "acme" }'],
    ['a.js', 'export default { http: { port: 4 }, namespace: "acme" }'],
  ])('may be %s', async (name, content) => {
    expect(await from(await file(name, content))).toMatchObject({ http: { port: 4 }, namespace: 'acme' });
  });

  it('is found in the folder', async () => {
    const here = await mkdtemp(join(folder, 'here-'));
    await writeFile(join(here, 'warren.config.json'), '{ "namespace": "found", "workers": "src/jobs" }');
    const sources = await commandSources({}, here, {});
    expect(clientSettingsFrom(sources).namespace).toBe('found');
    expect(workersFolderFrom(sources)).toEqual({ folder: join(here, 'src/jobs'), named: true });
    await writeFile(join(here, 'warren.config.mjs'), 'export default {}');
    await expect(commandSources({}, here, {})).rejects.toThrow(
      'both warren.config.json and warren.config.mjs',
    );
  });

  it('is named by a variable', async () => {
    const WARREN_CONFIG = await file('named.json', '{ "namespace": "named" }');
    expect(clientSettingsFrom(await commandSources({}, folder, { WARREN_CONFIG })).namespace).toBe('named');
  });

  it('need not be there', async () => {
    expect(workersFolderFrom(await commandSources({}, folder, {}))).toEqual({
      folder: 'workers',
      named: false,
    });
  });

  it.each([
    ['grace.json', '{ "grace": "30" }', /grace\.json: grace: "30" is no usable duration/],
    [
      'typo.json',
      '{ "namspace": "acme" }',
      /typo\.json: there is no setting 'namspace'; allowed: url, namespace/,
    ],
    ['http.json', '{ "http": { "prot": 3 } }', /there is no setting 'prot'/],
    ['list.json', '[]', /list\.json: it holds no object of settings/],
    ['throws.mjs', 'throw new Error("no database")', /throws\.mjs cannot be read: no database/],
    ['without.mjs', 'export const namespace = "acme"', /without\.mjs: it holds no object of settings/],
  ])('%s is refused', async (name, content, message) => {
    const path = await file(name, content);
    await expect(from(path)).rejects.toThrow(ConfigurationError);
    await expect(from(path)).rejects.toThrow(message);
  });

  it('that is no JSON is refused without quoting it', async () => {
    const path = await file('broken.json', '{ "url": "amqp://u:geheim@a" "x": 1 }');
    await expect(from(path)).rejects.toThrow(/broken\.json cannot be read/);
    await expect(from(path)).rejects.not.toThrow(/geheim/);
  });

  it('that is named must be there', async () => {
    await expect(from(join(folder, 'nowhere.json'))).rejects.toThrow(/nowhere\.json cannot be read: ENOENT/);
  });
});

describe('colours', () => {
  it.each([
    [{}, true],
    [{ NO_COLOR: '1' }, false],
    [{ NO_COLOR: '' }, true],
    [{ TERM: 'dumb' }, false],
  ])('%j', (env, allowed) => {
    expect(coloursAllowed(env)).toBe(allowed);
  });
});
