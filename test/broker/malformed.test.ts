/** Promise 8: bad input is parked with its bytes, headers and a reason, while good jobs beside it go on. */
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type Channel, type ChannelModel, connect, type GetMessage, type Options } from 'amqplib';
import { createClient, createRuntime, Job } from 'warren';
import { z } from 'zod';
import { amqpUrl, managementUrl } from '../support/broker.ts';
import { testNamespace } from '../support/namespace.ts';
import { startRuntime } from '../support/runtime.ts';
import { until } from '../support/until.ts';

const done: number[] = [];

class Good extends Job<{ n: number }> {
  static override queue = 'mixed';
  static override payload = z.object({ n: z.number() });
  perform({ n }: { n: number }) {
    done.push(n);
  }
}

class Strict extends Job {
  static override queue = 'mixed';
  static override payload = {
    '~standard': {
      version: 1 as const,
      vendor: 'test',
      validate: () => {
        throw new Error('a schema with a bug');
      },
    },
  };
  perform() {}
}

interface Case {
  what: string;
  body: Buffer | string;
  options?: Options.Publish;
  reason: string | undefined;
}

const json = JSON.stringify({ n: 1 });
const good = { type: 'Good' };

const CASES: Case[] = [
  { what: 'an empty body', body: '', options: good, reason: 'undecodable' },
  { what: 'plain text', body: 'send the mail', options: good, reason: 'undecodable' },
  { what: 'JSON cut short', body: '{"n": 1', options: good, reason: 'undecodable' },
  { what: 'JSON with something behind it', body: `${json} and more`, options: good, reason: 'undecodable' },
  { what: 'single quotes', body: "{'n': 1}", options: good, reason: 'undecodable' },
  { what: 'a bare NaN', body: 'NaN', options: good, reason: 'undecodable' },
  { what: 'a byte order mark', body: `\ufeff${json}`, options: good, reason: 'undecodable' },
  {
    what: 'bytes that are no UTF-8',
    body: Buffer.from([0x22, 0xff, 0xfe, 0x22]),
    options: good,
    reason: 'undecodable',
  },
  { what: 'UTF-16', body: Buffer.from(json, 'utf16le'), options: good, reason: 'undecodable' },
  {
    what: 'gzip',
    body: gzipSync(json),
    options: { ...good, contentEncoding: 'gzip' },
    reason: 'undecodable',
  },
  { what: 'msgpack', body: Buffer.from([0x81, 0xa1, 0x6e, 0x01]), options: good, reason: 'undecodable' },
  { what: 'zero bytes', body: Buffer.alloc(3), options: good, reason: 'undecodable' },
  { what: '300 KB of noise', body: Buffer.alloc(300_000, 0xc3), options: good, reason: 'undecodable' },
  { what: 'nesting without end', body: '['.repeat(50_000), options: good, reason: 'undecodable' },
  { what: 'a pickled object', body: Buffer.from('\x80\x04\x95.'), options: good, reason: 'undecodable' },
  { what: 'no type', body: json, reason: 'unknown-job' },
  { what: 'an empty type', body: json, options: { type: '' }, reason: 'unknown-job' },
  { what: 'a type nobody knows', body: json, options: { type: 'Bad' }, reason: 'unknown-job' },
  { what: 'the type __proto__', body: json, options: { type: '__proto__' }, reason: 'unknown-job' },
  { what: 'the type constructor', body: json, options: { type: 'constructor' }, reason: 'unknown-job' },
  { what: 'a type of 255 bytes', body: json, options: { type: 'x'.repeat(255) }, reason: 'unknown-job' },
  { what: 'no type and no JSON', body: 'x', reason: 'unknown-job' },
  { what: 'null', body: 'null', options: good, reason: 'invalid-payload' },
  { what: 'an array', body: '[1]', options: good, reason: 'invalid-payload' },
  { what: 'a number', body: '7', options: good, reason: 'invalid-payload' },
  { what: 'a field of another type', body: '{"n":"1"}', options: good, reason: 'invalid-payload' },
  { what: 'a field too few', body: '{}', options: good, reason: 'invalid-payload' },
  { what: 'a __proto__ payload', body: '{"__proto__":{"n":1}}', options: good, reason: 'invalid-payload' },
  { what: 'a schema that throws', body: json, options: { type: 'Strict' }, reason: 'invalid-payload' },
  { what: 'an expiry', body: 'x', options: { ...good, expiration: '60000' }, reason: 'undecodable' },
  { what: 'not persistent', body: 'x', options: { ...good, deliveryMode: 1 }, reason: 'undecodable' },
  {
    what: 'another content type',
    body: '<n>1</n>',
    options: { ...good, contentType: 'text/xml' },
    reason: 'undecodable',
  },
  {
    what: 'forged headers of ours',
    body: 'x',
    options: { ...good, headers: { 'warren-attempt': 'many', 'warren-error': 7, 'warren-enqueued-at': -1 } },
    reason: 'undecodable',
  },
  {
    what: "a forged past, as RabbitMQ's own",
    body: 'x',
    options: { ...good, headers: { 'x-death': [{ queue: 'mixed.dead', reason: 'expired', count: 99 }] } },
    reason: 'undecodable',
  },
  {
    what: 'a header that hides as __proto__',
    body: 'x',
    options: { ...good, headers: Object.fromEntries([['__proto__', { 'warren-attempt': 9 }]]) },
    reason: 'undecodable',
  },
  {
    what: '60 KB of headers',
    body: 'x',
    options: { ...good, headers: { big: 'y'.repeat(60_000) } },
    reason: undefined,
  },
];

const space = testNamespace();
const namespace = space.name;
let model: ChannelModel;
let channel: Channel;

beforeAll(async () => {
  model = await connect(amqpUrl());
  channel = await model.createChannel();
});
afterAll(async () => {
  await model.close();
  await space.remove();
});

it(`parks ${CASES.length} kinds of malformed message and runs the good ones between them`, async () => {
  const url = amqpUrl();
  const runtime = createRuntime({
    url,
    namespace,
    jobs: [Good, Strict],
    http: false,
    signals: false,
    logger: false,
  });
  const started = new Promise((resolve) => runtime.on('runtime.started', resolve));
  const ended = runtime.run();
  await started;
  const client = await createClient({ url, namespace });
  for (const [index, { body, options }] of CASES.entries()) {
    const headers = { ...options?.headers, case: index };
    channel.publish(`${namespace}.jobs`, `${namespace}.mixed`, Buffer.from(body), {
      messageId: `case-${index}`,
      ...options,
      headers,
    });
    await client.enqueue(Good, { n: index });
  }
  const parked = await deadOnes(CASES.length);
  await until(() => done.length >= CASES.length, { what: 'the good ones' });
  expect(done.toSorted((a, b) => a - b)).toEqual(CASES.map((_, index) => index));
  for (const [index, { what, body, reason }] of CASES.entries()) {
    const message = parked.get(index);
    expect({ what, body: message?.content.equals(Buffer.from(body)) }).toEqual({ what, body: true });
    expect({ what, reason: message?.properties.headers?.['warren-reason'] }).toEqual({
      what,
      reason: reason ?? expect.anything(),
    });
    expect(message?.properties.expiration).toBeUndefined();
  }
  await client.close();
  await runtime.stop();
  expect(await ended).toBe(0);
});

/** Also kept: what the publisher said beside the body. */
it('keeps the headers and properties of a parked message', async () => {
  expect(seen.get(9)?.properties.contentEncoding).toBe('gzip');
  expect(seen.get(31)?.properties.contentType).toBe('text/xml');
  expect(seen.get(35)?.properties.headers?.big).toHaveLength(60_000);
});

/** amqplib's decoder overflows on it; without care each worker that gets it would lose its connection, for ever. */
it('parks a message whose headers are nested thousands deep, and goes on', async () => {
  const deep = `${'['.repeat(8_000)}${']'.repeat(8_000)}`;
  await using started = await startRuntime([Good]);
  const { runtime, client, namespace: own } = started;
  const lost: unknown[] = [];
  runtime.on('connection.lost', (event) => lost.push(event));
  const dead = new Promise((resolve) => runtime.on('job.dead', resolve));
  const answer = await fetch(`${new URL(managementUrl()).origin}/api/exchanges/%2F/${own}.jobs/publish`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa('guest:guest')}`, 'content-type': 'application/json' },
    body: `{"routing_key":"${own}.mixed","payload":"{}","payload_encoding":"string","properties":{"type":"Good","headers":{"deep":${deep}}}}`,
  });
  expect(await answer.json()).toEqual({ routed: true });
  await dead;
  const done = new Promise((resolve) => runtime.on('job.succeeded', resolve));
  await client.enqueue(Good, { n: -1 });
  await done;
  expect(lost).toEqual([]);
  await until(async () => (await channel.checkQueue(`${own}.mixed.dead`)).messageCount === 1, {
    what: 'the message in the dead queue',
  });
});

const seen = new Map<number, GetMessage>();

async function deadOnes(count: number): Promise<Map<number, GetMessage>> {
  await until(
    async () => {
      for (let message = await next(); message; message = await next()) {
        seen.set(message.properties.headers?.case as number, message);
      }
      return seen.size === count;
    },
    { within: 60_000, what: `${count} dead messages` },
  );
  return seen;
}

const next = () => channel.get(`${namespace}.mixed.dead`, { noAck: true });
