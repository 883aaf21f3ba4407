import { describe, expect, it } from '@jest/globals';
import type { Logger } from 'pino';
import type { LogLevel } from '../../src/config/settings.ts';
import { JobCrashedError } from '../../src/core/errors.ts';
import { EventBus, type EventName, type Events } from '../../src/core/events.ts';
import { jobLog } from '../../src/observe/job-log.ts';
import { createLogger, subscribeLogs } from '../../src/observe/logs.ts';

const ABOUT = { id: 'id-1', job: 'SendReceipt', queue: 'mail', attempt: 2 };

type Line = Record<string, unknown> & { level: string; msg: string };

function setUp(level: LogLevel = 'debug') {
  const text: string[] = [];
  const logger = createLogger(level, { write: (line) => void text.push(line) });
  const bus = new EventBus();
  const end = subscribeLogs(bus, logger);
  const lines = () => text.map((line) => JSON.parse(line) as Line);
  return { bus, logger, end, lines, text };
}

/** The one line that an event makes. */
function lineOf<E extends EventName>(name: E, event: Events[E]): Line {
  const { bus, lines } = setUp();
  bus.emit(name, event);
  expect(lines()).toHaveLength(1);
  return lines()[0] as Line;
}

describe('log lines', () => {
  it('say which job, where it came from, which attempt and how long', () => {
    const line = lineOf('job.succeeded', { ...ABOUT, durationMs: 12.345678 });
    expect(line).toMatchObject({ level: 'info', msg: 'job succeeded', ...ABOUT, durationMs: 12.346 });
    expect(new Date(line.time as string).getTime()).toBeGreaterThan(0);
  });

  it('are one JSON object each', () => {
    const { bus, text } = setUp();
    bus.emit('job.succeeded', ABOUT);
    bus.emit('job.discarded', ABOUT);
    expect(text.map((line) => line.endsWith('}\n'))).toEqual([true, true]);
  });

  const error = new TypeError('no such order');
  const crash = new JobCrashedError('gone', { exitCode: null, signal: 'SIGKILL', stderr: 'last words' });
  it.each<[EventName, Events[EventName], string]>([
    ['attempt.started', { ...ABOUT, waitMs: 1, redelivered: false }, 'debug'],
    ['attempt.succeeded', { ...ABOUT, durationMs: 1 }, 'debug'],
    ['attempt.failed', { ...ABOUT, durationMs: 1, error, willRetry: true }, 'warn'],
    ['attempt.timed-out', { ...ABOUT, durationMs: 1, error, willRetry: true }, 'warn'],
    ['attempt.released', { ...ABOUT, durationMs: 1 }, 'info'],
    ['job.retried', { ...ABOUT, waitMs: 3000, delay: 'delayed-3s' }, 'info'],
    ['job.succeeded', ABOUT, 'info'],
    ['job.dead', { ...ABOUT, reason: 'attempts-exhausted', error }, 'error'],
    ['job.crashed', { ...ABOUT, durationMs: 1, crashes: 1, error: crash, willRetry: true }, 'error'],
    ['job.progress', { ...ABOUT, value: { done: 1 } }, 'debug'],
    ['child.failed', { kind: 'process', exitCode: 1, signal: null, error }, 'error'],
    ['connection.opened', { role: 'consuming', url: 'amqp://host' }, 'info'],
    ['connection.lost', { role: 'consuming', url: 'amqp://host', reason: 'reset' }, 'warn'],
    ['broker.blocked', { reason: 'low on memory' }, 'warn'],
    ['consumer.detached', { queue: 'mail', reason: 'queue deleted' }, 'warn'],
    ['rejection.unhandled', { error }, 'error'],
    ['topology.applied', { created: ['mail'] }, 'info'],
    ['topology.applied', { created: [] }, 'debug'],
    ['topology.failed', { error: new Error('gone') }, 'warn'],
    ['topology.unverified', { uncompared: ["queue 'mail'"] }, 'warn'],
    ['drain.finished', { released: 0, unsent: 0, durationMs: 1 }, 'info'],
    ['drain.finished', { released: 1, unsent: 0, durationMs: 1 }, 'warn'],
  ])('%s with %j is %s', (name, event, level) => {
    expect(lineOf(name, event).level).toBe(level);
  });

  it('carry an error as name, message and stack, and none of its other fields', () => {
    const secret = Object.assign(new TypeError('no such order'), { payload: { card: '4111' } });
    const line = lineOf('attempt.failed', { ...ABOUT, durationMs: 3, error: secret, willRetry: true });
    expect(line.error).toEqual({
      name: 'TypeError',
      message: 'no such order',
      stack: expect.stringContaining('no such order'),
    });
    expect(JSON.stringify(line)).not.toContain('4111');
  });

  it.each([['a string'], [undefined], [null], [{ toString: null }]])(
    'carry %j when it was thrown',
    (thrown) => {
      const line = lineOf('attempt.failed', { ...ABOUT, durationMs: 3, error: thrown, willRetry: false });
      expect(line.error).toMatchObject({ name: 'Error', message: expect.any(String) });
    },
  );

  it('hide passwords of URLs, with any logger', () => {
    const url = 'amqp://user:hunter2@host';
    const written: string[] = [];
    const plain = {
      isLevelEnabled: () => true,
      on: () => {},
      warn: (fields: object) => void written.push(JSON.stringify(fields)),
    };
    const bus = new EventBus();
    subscribeLogs(bus, plain as unknown as Logger);
    bus.emit('connection.lost', { role: 'consuming', url, reason: `reset by ${url}` });
    const error = new Error(`cannot reach ${url}`);
    bus.emit('attempt.failed', { ...ABOUT, durationMs: 1, error, willRetry: true });
    bus.emit('settlement.failed', { ...ABOUT, error });
    bus.emit('consumer.detached', { queue: 'mail', reason: url });
    expect(written).toHaveLength(4);
    for (const line of written) {
      expect(line).not.toContain('hunter2');
      expect(line).toContain('user:***@host');
    }
  });

  it('cost nothing where the level is off, and follow it when it changes', () => {
    const { bus, logger, lines } = setUp('warn');
    bus.emit('job.succeeded', {
      ...ABOUT,
      get durationMs(): number {
        throw new Error('looked at');
      },
    });
    expect(lines()).toEqual([]);
    logger.level = 'info';
    bus.emit('job.succeeded', ABOUT);
    expect(lines()).toHaveLength(1);
  });

  it('end with the subscription', () => {
    const { bus, end, lines } = setUp();
    end();
    bus.emit('job.succeeded', ABOUT);
    expect(lines()).toEqual([]);
  });
});

describe("a job's own log", () => {
  it('has its identity on each line, which the job cannot change', () => {
    const { logger, lines } = setUp();
    const log = jobLog(logger, ABOUT);
    log.info('mail sent', { smtp: 250, id: 'forged' });
    log.error('gone');
    expect(lines()).toMatchObject([
      { level: 'info', msg: 'mail sent', smtp: 250, ...ABOUT },
      { level: 'error', msg: 'gone', ...ABOUT },
    ]);
  });

  it('hides passwords of URLs', () => {
    const { logger, text } = setUp();
    jobLog(logger, ABOUT).warn('cannot reach postgres://app:hunter2@db/app', { url: 'amqp://u:hunter2@h' });
    expect(text[0]).not.toContain('hunter2');
    expect(JSON.parse(text[0] as string)).toMatchObject({ url: 'amqp://u:***@h' });
  });

  it('respects the level', () => {
    const { logger, lines } = setUp('error');
    jobLog(logger, ABOUT).warn('hm');
    expect(lines()).toEqual([]);
  });
});
