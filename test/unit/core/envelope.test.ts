import { runInNewContext } from 'node:vm';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { LONGEST_DURATION_MS } from '../../../src/core/duration.ts';
import {
  deadProperties,
  jobProperties,
  replayProperties,
  retryProperties,
} from '../../../src/core/envelope.ts';
import { recordError } from '../../../src/core/error-record.ts';
import { HEADER, readHeaders } from '../../../src/core/headers.ts';
import type { Headers, MessageProperties } from '../../../src/core/message.ts';

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const HOUR = 3_600_000;

const fresh = () => jobProperties({ id: 'id-1', name: 'SendReceipt', now: NOW });
const reading = (headers: object, now = NOW) => readHeaders({ headers: headers as Headers }, now);
const again = (from: MessageProperties, attempt = 2) =>
  retryProperties(from, {
    id: 'id-1',
    attempt,
    dueAt: NOW + 3000,
    error: { name: 'Error', message: 'full' },
  });
const buried = (from: MessageProperties) =>
  deadProperties(from, {
    reason: 'attempts-exhausted',
    error: { name: 'Error', message: 'full' },
    queue: 'acme.mail',
    now: NOW + HOUR,
  });

/** What RabbitMQ writes into a message that died, and what routes it elsewhere. */
const BROKERS_OWN = {
  'x-death': [{ queue: 'delayed-3s', reason: 'expired', count: 1 }],
  'x-first-death-queue': 'delayed-3s',
  'x-first-death-reason': 'expired',
  'x-first-death-exchange': 'delayed-3s',
  'x-last-death-queue': 'delayed-3s',
  'x-last-death-reason': 'expired',
  'x-last-death-exchange': 'delayed-3s',
  'x-delivery-count': 3,
  'x-acquired-count': 4,
  CC: ['elsewhere'],
  BCC: ['nowhere'],
};

describe('a new job', () => {
  it('is the wire format of the contract', () => {
    expect(fresh()).toEqual({
      messageId: 'id-1',
      type: 'SendReceipt',
      contentType: 'application/json',
      timestamp: Math.floor(NOW / 1000),
      headers: { 'warren-attempt': 1, 'warren-enqueued-at': NOW },
    });
  });

  it('carries other headers, which cannot say that it ran before', () => {
    const { headers } = jobProperties({
      id: 'a',
      name: 'B',
      now: NOW,
      headers: { traceparent: '00-1', 'warren-attempt': 9 },
    });
    expect(headers).toEqual({ traceparent: '00-1', 'warren-attempt': 1, 'warren-enqueued-at': NOW });
  });

  it('is read back as it was written', () => {
    expect(readHeaders(fresh(), NOW)).toEqual({
      attempt: 1,
      crashes: 0,
      replays: 0,
      enqueuedAt: NOW,
      dueAt: undefined,
      notBefore: undefined,
      error: undefined,
      reason: undefined,
    });
  });
});

describe('a foreign message', () => {
  it('without headers is a first attempt', () => {
    expect(reading({})).toMatchObject({ attempt: 1, crashes: 0, replays: 0, enqueuedAt: undefined });
    expect(readHeaders({ headers: undefined as never }, NOW).attempt).toBe(1);
    expect(readHeaders({ headers: null as never }, NOW).attempt).toBe(1);
  });

  it('was enqueued when its timestamp says, where nothing better is there', () => {
    expect(readHeaders({ headers: {}, timestamp: 1_700_000_000 }, NOW).enqueuedAt).toBe(1_700_000_000_000);
    expect(readHeaders({ headers: { [HEADER.enqueuedAt]: 'soon' }, timestamp: 5 }, NOW).enqueuedAt).toBe(
      5000,
    );
    expect(readHeaders({ headers: {}, timestamp: NOW }, NOW).enqueuedAt).toBeUndefined();
  });
});

describe('doubtful headers', () => {
  it.each([
    ['2', 1],
    [2.5, 1],
    [-1, 1],
    [0, 1],
    [Number.NaN, 1],
    [1e300, 1000],
    [4_000_000_000, 1000],
    [{ '!': 'timestamp', value: 3 }, 1],
    [[3], 1],
    [null, 1],
    [true, 1],
    [7, 7],
  ])('attempt %p counts as %p', (said, read) => {
    expect(reading({ [HEADER.attempt]: said }).attempt).toBe(read);
  });

  it('bear a clock that is a little ahead, and no more', () => {
    expect(reading({ [HEADER.enqueuedAt]: NOW + HOUR }).enqueuedAt).toBe(NOW + HOUR);
    expect(reading({ [HEADER.enqueuedAt]: NOW + HOUR + 1 }).enqueuedAt).toBeUndefined();
  });

  it('cannot hold a job back for longer than the longest delay', () => {
    expect(reading({ [HEADER.notBefore]: NOW + LONGEST_DURATION_MS }).notBefore).toBe(
      NOW + LONGEST_DURATION_MS,
    );
    expect(reading({ [HEADER.notBefore]: NOW + LONGEST_DURATION_MS + 1 }).notBefore).toBeUndefined();
    expect(reading({ [HEADER.notBefore]: NOW - 5 }).notBefore).toBe(NOW - 5);
  });

  it('hidden in the prototype are not there: amqplib makes that of a header named __proto__', () => {
    const headers = decodedByAmqplib('__proto__', { [HEADER.attempt]: 9, [HEADER.reason]: 'because' });
    expect((headers as Headers)[HEADER.attempt]).toBe(9);
    expect(reading(headers)).toMatchObject({ attempt: 1, reason: undefined });
    expect(again({ headers }).headers).not.toHaveProperty(HEADER.reason);
  });

  it('hidden in the prototype of an error are not there either', () => {
    expect(
      reading({ [HEADER.error]: decodedByAmqplib('__proto__', { message: 'forged' }) }).error,
    ).toBeUndefined();
  });

  it('that speak of an error without being one are let go', () => {
    for (const said of ['text', 5, [], {}, { message: 5 }, null])
      expect(reading({ [HEADER.error]: said }).error).toBeUndefined();
    expect(reading({ [HEADER.error]: { message: 'm' } }).error).toEqual({
      name: 'Error',
      message: 'm',
      stack: undefined,
    });
  });

  it('whatever they are, give values in range and never throw', () => {
    fc.assert(
      fc.property(forgedHeaders, fc.double(), (headers, timestamp) => {
        const read = readHeaders({ headers, timestamp }, NOW);
        expect(isWhole(read.attempt, 1, 1000)).toBe(true);
        expect(isWhole(read.crashes, 0, 1000)).toBe(true);
        expect(isWhole(read.replays, 0, 1_000_000)).toBe(true);
        for (const moment of [read.enqueuedAt, read.dueAt])
          expect(moment === undefined || isWhole(moment, 1, NOW + HOUR)).toBe(true);
        expect(read.notBefore === undefined || isWhole(read.notBefore, 1, NOW + LONGEST_DURATION_MS)).toBe(
          true,
        );
        for (const text of [read.reason, read.error?.name, read.error?.message, read.error?.stack])
          expect(text === undefined || Buffer.byteLength(text) <= 4096).toBe(true);
      }),
    );
  });

  it('whatever they are, can be carried through retry, dead and replay', () => {
    fc.assert(
      fc.property(forgedHeaders, (headers) => {
        const replayed = replayProperties(buried(again({ headers })), NOW);
        expect(readHeaders(replayed, NOW)).toMatchObject({
          attempt: 1,
          crashes: 0,
          error: undefined,
          reason: undefined,
        });
      }),
    );
  });
});

describe('a retry', () => {
  it('is the same job with the next attempt, its error and when it is due', () => {
    const from = {
      ...fresh(),
      correlationId: 'c',
      replyTo: 'r',
      priority: 3,
      appId: 'shop',
      contentEncoding: 'utf-8',
    };
    expect(again(from)).toEqual({
      ...from,
      headers: {
        'warren-attempt': 2,
        'warren-enqueued-at': NOW,
        'warren-due-at': NOW + 3000,
        'warren-error': { name: 'Error', message: 'full' },
      },
    });
  });

  it('keeps the error it had when it has no new one, as after a snooze', () => {
    const snoozed = retryProperties(again(fresh()), { id: 'id-1', attempt: 2, dueAt: NOW });
    expect(readHeaders(snoozed, NOW).error?.message).toBe('full');
  });

  it('says before when it must not run only where the wait is longer than every queue', () => {
    const long = retryProperties(fresh(), { id: 'id-1', attempt: 2, dueAt: NOW + 9, notBefore: NOW + 9 });
    expect(readHeaders(long, NOW).notBefore).toBe(NOW + 9);
    expect(again(long).headers).not.toHaveProperty(HEADER.notBefore);
  });

  it('gives a foreign message the id it ran under', () => {
    expect(again({ headers: {} }).messageId).toBe('id-1');
  });

  it('keeps the headers of others, also a trace', () => {
    const headers = {
      traceparent: '00-1',
      tracestate: 'a=b',
      tenant: { id: 5 },
      'x-match': 'all',
      'x-tenant': 1,
      cc: 'small',
    };
    expect(again({ headers }).headers).toMatchObject(headers);
  });

  it('leaves behind what the broker wrote: a copied x-death makes it drop the message', () => {
    expect(Object.keys(again({ headers: { ...BROKERS_OWN, mine: 1 } }).headers).sort()).toEqual(
      ['mine', HEADER.attempt, HEADER.dueAt, HEADER.error].sort(),
    );
  });

  it('leaves behind what a quorum queue or the encoder refuses for ever', () => {
    const headers = {
      nan: Number.NaN,
      deep: { list: [1, { far: Number.POSITIVE_INFINITY }] },
      fine: [1, { deep: 2 }],
    };
    const copy = again({ headers, timestamp: 2 ** 64 });
    expect(copy.headers).not.toHaveProperty('nan');
    expect(copy.headers).not.toHaveProperty('deep');
    expect(copy.headers).toHaveProperty('fine', [1, { deep: 2 }]);
    expect(copy.timestamp).toBeUndefined();
  });

  it('does not change what it was made from', () => {
    const from = Object.freeze({ ...fresh(), headers: Object.freeze({ ...BROKERS_OWN }) });
    expect(() => buried(again(from))).not.toThrow();
  });
});

describe('a dead job', () => {
  it('carries the reason, the error, where it came from and when', () => {
    expect(buried(again(fresh(), 12))).toMatchObject({
      messageId: 'id-1',
      type: 'SendReceipt',
      headers: {
        'warren-attempt': 12,
        'warren-reason': 'attempts-exhausted',
        'warren-queue': 'acme.mail',
        'warren-error': { name: 'Error', message: 'full' },
        'warren-dead-at': NOW + HOUR,
      },
    });
  });

  it('keeps its own id, and gets one where it had none', () => {
    const end = {
      reason: 'undecodable',
      error: { name: 'E', message: '' },
      queue: 'mail',
      now: NOW,
    } as const;
    expect(deadProperties(fresh(), { ...end, id: 'other' }).messageId).toBe('id-1');
    expect(deadProperties({ headers: {} }, { ...end, id: 'other' }).messageId).toBe('other');
    expect(deadProperties({ headers: {} }, end).messageId).toBeUndefined();
  });

  it('that never began still says what it failed with before', () => {
    const earlier = {
      name: 'SmtpError',
      message: 'mailbox full',
      stack: 'SmtpError: mailbox full\n    at mail.ts:3',
    };
    const from = retryProperties(fresh(), { id: 'id-1', attempt: 2, dueAt: NOW, error: earlier });
    const end = { error: { name: 'UnknownJob', message: 'no such class' }, queue: 'mail', now: NOW };
    expect(deadProperties(from, { ...end, reason: 'unknown-job' }).headers['warren-error']).toEqual({
      name: 'UnknownJob',
      message: 'no such class; before that it failed with SmtpError: mailbox full',
      stack: earlier.stack,
    });
    expect(deadProperties(fresh(), { ...end, reason: 'unknown-job' }).headers['warren-error']).toEqual(
      end.error,
    );
    // One that ran has an error of its own, which is the last.
    expect(deadProperties(from, { ...end, reason: 'dead-by-job' }).headers['warren-error']).toEqual(
      end.error,
    );
  });

  it('leaves behind what the broker wrote', () => {
    expect(
      Object.keys(buried({ headers: BROKERS_OWN }).headers).filter((name) => name in BROKERS_OWN),
    ).toEqual([]);
  });
});

describe('a replay', () => {
  it('is a first attempt without marks, errors or x-death, enqueued when it first was', () => {
    const crashed = {
      ...fresh(),
      headers: { ...fresh().headers, ...BROKERS_OWN, 'warren-crashes': 3, mine: 1 },
    };
    expect(replayProperties(buried(again(crashed, 12)), NOW + 9 * HOUR)).toEqual({
      ...fresh(),
      headers: {
        ...{ mine: 1, 'warren-attempt': 1, 'warren-enqueued-at': NOW, 'warren-replays': 1 },
        // Or the days in the dead queue would count as time it waited for a worker.
        'warren-due-at': NOW + 9 * HOUR,
      },
    });
  });

  it('counts how often', () => {
    let job = fresh();
    for (let round = 1; round <= 3; round++) {
      job = replayProperties(buried(again(job)), NOW);
      expect(readHeaders(job, NOW)).toMatchObject({ attempt: 1, replays: round });
    }
  });

  it('stays in range when the count was forged', () => {
    expect(replayProperties({ headers: { [HEADER.replays]: 9e15 } }, NOW).headers[HEADER.replays]).toBe(
      1_000_000,
    );
  });
});

describe('an error record', () => {
  it('has name, message and stack', () => {
    const error = new RangeError('full');
    expect(recordError(error)).toEqual({ name: 'RangeError', message: 'full', stack: error.stack });
  });

  it('knows errors of another realm, and bare objects with a message', () => {
    expect(recordError(runInNewContext('new TypeError("far")'))).toMatchObject({
      name: 'TypeError',
      message: 'far',
    });
    expect(recordError({ message: 'bare' })).toEqual({ name: 'Error', message: 'bare', stack: undefined });
  });

  it.each([
    ['text', 'text'],
    [undefined, 'undefined'],
    [null, 'null'],
    [5n, '5'],
    [Symbol('s'), 'Symbol(s)'],
    [{ code: 5 }, '{"code":5}'],
    [Object.create(null), '{}'],
  ])('makes words of %p', (thrown, message) => {
    expect(recordError(thrown)).toEqual({ name: 'Error', message });
  });

  it('is made of whatever was thrown', () => {
    const hostile = {
      get name() {
        return fail();
      },
      get message() {
        return fail();
      },
      get stack() {
        return fail();
      },
    };
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    for (const thrown of [hostile, circular, proxy, { toString: fail, toJSON: fail }])
      expect(typeof recordError(thrown).message).toBe('string');
    fc.assert(
      fc.property(fc.anything(), (thrown) => expect(typeof recordError(thrown).message).toBe('string')),
    );
  });

  it('is at most 4 KiB of valid UTF-8 a part, cut between characters', () => {
    const character = fc.constantFrom('a', 'é', '€', '😀', '\u0000', '\ufffd');
    const long = fc
      .array(character, { minLength: 1000, maxLength: 6000 })
      .map((characters) => characters.join(''));
    fc.assert(
      fc.property(long, (text) => {
        const { message } = recordError(new Error(text));
        expect(Buffer.byteLength(message)).toBeLessThanOrEqual(4096);
        expect(Buffer.from(message).toString()).toBe(message);
        expect(text.startsWith(message)).toBe(true);
        // Nothing but a trailing replacement character, which a cut may also leave, is lost for nothing.
        if (Buffer.byteLength(text) > 4096)
          expect(Buffer.byteLength(message.padEnd(4096, '\ufffd'))).toBeGreaterThan(4092);
        else expect(message).toBe(text);
      }),
      { numRuns: 50 },
    );
  });

  it('is cut again when it comes from elsewhere', () => {
    const from = deadProperties(fresh(), {
      reason: 'crashed',
      error: { name: 'n'.repeat(5000), message: '€'.repeat(5000), stack: 's'.repeat(5000) },
      queue: 'mail',
      now: NOW,
    });
    const { error } = readHeaders(from, NOW);
    expect([error?.name, error?.message, error?.stack].map((text) => Buffer.byteLength(text ?? ''))).toEqual([
      4096, 4095, 4096,
    ]);
  });
});

function fail(): never {
  throw new Error('it does not like to be looked at');
}

function isWhole(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}

/** The assignment that amqplib's decoder does for each entry of a table. */
function decodedByAmqplib(key: string, value: unknown): Headers {
  const table: Headers = {};
  table[key] = value;
  return table;
}

const value = fc.oneof(
  fc.anything({ withBigInt: true, withDate: true, withNullPrototype: true }),
  fc.double(),
  fc.integer(),
  fc.string(),
  fc.record({ name: fc.anything(), message: fc.anything(), stack: fc.anything() }),
);
const name = fc.oneof(
  fc.constantFrom(...Object.values(HEADER), '__proto__', 'constructor', 'x-death', 'CC'),
  fc.string(),
);
const forgedHeaders = fc
  .array(fc.tuple(name, value))
  .map((entries) =>
    entries.reduce<Headers>((table, [key, said]) => Object.assign(table, decodedByAmqplib(key, said)), {}),
  );
