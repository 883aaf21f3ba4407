/** The command against a real broker, as its users and their scripts see it. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Broker } from '../../src/broker/broker.ts';
import { createRabbitBroker } from '../../src/broker/rabbitmq.ts';
import { amqpUrl } from '../support/broker.ts';
import { type Post, postOffice } from '../support/letters.ts';
import { type TestNamespace, testNamespace } from '../support/namespace.ts';
import { type RunningProcess, spawnWarren } from '../support/process.ts';
import { type Project, userProject } from '../support/project.ts';
import { until } from '../support/until.ts';
import { warren as runWarren } from '../support/warren.ts';

/** JavaScript: dozens of commands are started here, and none needs to load a compiler. */
const WORKERS = {
  'workers/mail.mjs': `
    import { dead, Job } from 'warren'
    const isReceipt = (value) => typeof value?.to === 'string'
    export class SendReceipt extends Job {
      static queue = 'mail'
      static retry = { attempts: 2, backoff: ['500ms'] }
      static payload = {
        '~standard': {
          version: 1,
          vendor: 'test',
          validate: (value) => (isReceipt(value) ? { value } : { issues: [{ message: 'no text', path: ['to'] }] }),
        },
      }
      async perform({ to }) {
        if (to === 'nobody') return dead('there is nobody')
        console.log('sent to', to)
      }
    }`,
};

const broker: Broker = createRabbitBroker({ urls: [amqpUrl()] });
let project: Project;
const spaces: TestNamespace[] = [];
const started: RunningProcess[] = [];

beforeAll(async () => {
  await broker.connect({ timeout: 60_000 });
  project = await userProject(WORKERS);
});

afterAll(async () => {
  for (const child of started) await child[Symbol.asyncDispose]();
  await broker.close(1_000);
  for (const space of spaces) await space.remove();
  await project[Symbol.asyncDispose]();
});

/** The command in a namespace of its own. */
function newPlace() {
  const space = testNamespace();
  spaces.push(space);
  const env = { AMQP_URL: amqpUrl(), WARREN_NAMESPACE: space.name, WARREN_HTTP: 'off' };
  const post: Post = postOffice(broker, space.name);
  const spawnIn = (more: NodeJS.ProcessEnv, ...args: string[]) => {
    const child = spawnWarren(args, { env: { ...env, ...more }, cwd: project.folder });
    started.push(child);
    return child;
  };
  const spawn = (...args: string[]) => spawnIn({}, ...args);
  return {
    space,
    env,
    post,
    spawn,
    spawnIn,
    warren: (...args: string[]) => runWarren(args, env, project.folder),
  };
}

const numbered = (count: number) => Array.from({ length: count }, (_, index) => `job-${index}`);

describe('topology', () => {
  it('plan, apply, apply again, verify', async () => {
    const { warren, space } = newPlace();
    const plan = await warren('topology', 'plan');
    expect(plan.code).toBe(3);
    expect(plan.stdout).toContain(`would create queue ${space.of('mail.dead')}\n`);
    expect((await warren('topology', 'verify', '--json')).json().differences).toContainEqual({
      ...{ what: 'queue', name: space.of('delayed-500ms'), state: 'missing' },
      arguments: expect.objectContaining({
        'x-message-ttl': 500,
        'x-dead-letter-exchange': space.of('jobs.due'),
      }),
    });
    const applied = await warren('topology', 'apply', '--json');
    expect(applied.json()).toMatchObject({
      created: expect.arrayContaining([`queue ${space.of('mail')}`]),
      present: [],
    });
    expect(applied.code).toBe(0);
    expect((await warren('topology', 'apply', '--json')).json()).toMatchObject({ created: [] });
    expect(await warren('topology', 'verify')).toMatchObject({
      code: 0,
      stdout: 'everything stands as wanted\n',
      stderr: expect.stringContaining('bindings cannot be looked at over AMQP'),
    });
  });

  it('stops at what stands otherwise, shows it and creates nothing', async () => {
    const { warren, space } = newPlace();
    await broker.admin((channel) =>
      channel.declareQueue({ name: space.of('mail'), arguments: { 'x-queue-type': 'classic' } }),
    );
    for (const verb of ['plan', 'apply', 'verify']) {
      const { code, stdout, stderr } = await warren('topology', verb);
      expect(stdout + stderr).toMatch(/mail exists as a classic queue, wanted a quorum one/);
      expect(code).toBe(3);
    }
    expect((await warren('topology', 'plan', '--json')).json().fine).toEqual([]);
    const applied = await warren('topology', 'apply', '--json');
    expect(applied.json()).toMatchObject({ created: [], present: [], differences: [{ state: 'different' }] });
  });
});

describe('enqueue', () => {
  it('prints the id when the broker has kept the job', async () => {
    const { warren, post } = newPlace();
    await post.declare();
    const { code, json } = await warren(
      'enqueue',
      'SendReceipt',
      '{"to":"me"}',
      '--id',
      'order-17',
      '--json',
    );
    expect([code, json()]).toEqual([0, { id: 'order-17', queue: 'mail' }]);
    expect(await post.contents('mail')).toMatchObject([
      { id: 'order-17', properties: { type: 'SendReceipt', headers: { 'warren-attempt': 1 } } },
    ]);
    expect((await warren('enqueue', 'SendReceipt', '{"to":"me"}')).stdout).toMatch(
      /^enqueued SendReceipt [0-9a-f-]{36} to mail\n$/,
    );
  });

  it('knows the class: its queue and its schema', async () => {
    const { warren, post } = newPlace();
    await post.declare();
    const { code, stdout, stderr } = await warren('enqueue', 'SendReceipt', '{"to":5}', '--json');
    expect(stderr).toMatch(/^warren: the payload of SendReceipt does not fit its schema: to: no text/);
    expect([code, stdout]).toEqual([1, '']);
  });

  it('takes a name it does not know, to the queue that is told', async () => {
    const { warren, post } = newPlace();
    await post.declare();
    const { code, stderr, json } = await warren('enqueue', 'Foreign', '[1]', '--queue', 'mail', '--json');
    expect([code, json().queue, stderr]).toEqual([
      0,
      'mail',
      expect.stringMatching(/no class in workers is called 'Foreign'/),
    ]);
  });

  it('fails with 1 where no queue takes it', async () => {
    const { warren, post } = newPlace();
    await post.declare();
    const { code, stdout, stderr } = await warren('enqueue', 'Foreign', '[1]', '--json');
    expect(stderr).toMatch(/no queue took it/);
    expect([code, stdout]).toEqual([1, '']);
  });
});

describe('status', () => {
  it('says what waits and that nobody consumes', async () => {
    const { warren, post } = newPlace();
    await post.declare(500);
    await warren('enqueue', 'SendReceipt', '{"to":"me"}');
    await post.buryJobs('job-1', 'job-2');
    // A queue whose leader does not answer within 250 ms counts as empty.
    const counted = async () => {
      const ran = await warren('status', '--json');
      const { ready, dead } = ran.json().queues.mail;
      return ready === 1 && dead === 2 ? ran : undefined;
    };
    const { code, json } = await until(counted, { within: 60_000, what: 'all to be counted' });
    expect(code).toBe(0);
    await until(async () => (await warren('status', '--check')).code === 1, { within: 60_000 });
    expect(json()).toMatchObject({
      status: 'degraded',
      version: expect.stringMatching(/^\d+\./),
      broker: { connected: true, version: expect.stringMatching(/^\d+\./) },
      queues: { mail: { ready: 1, running: 0, dead: 2, consumers: 0 } },
      delayed: { '500ms': 0 },
      unrouted: 0,
    });
    const table = /queue 'mail': 1 ready and nobody consumes\nmail\t1\t2\t0\n/;
    await until(async () => table.test((await warren('status')).stdout), {
      within: 60_000,
      what: `${table}`,
    });
  });
});

describe('dead', () => {
  it('list, show, replay and discard in JSON', async () => {
    const { warren, post } = newPlace();
    await post.declare();
    await post.buryJobs(...numbered(4));
    const list = await warren('dead', 'list', 'mail', '--json');
    expect(list.json().map(({ id }: { id: string }) => id)).toEqual(numbered(4));
    expect(Object.keys(list.json()[0]).sort()).toEqual(
      ['attempt', 'crashes', 'deadAt', 'enqueuedAt', 'error', 'id', 'job', 'queue', 'reason'].sort(),
    );
    const show = await warren('dead', 'show', 'mail', 'job-2', '--json');
    expect(show.json()).toMatchObject([
      { id: 'job-2', payload: { to: 'me' }, headers: { 'warren-queue': 'mail' } },
    ]);
    const replay = await warren('dead', 'replay', 'mail', 'job-2', '--json');
    expect([replay.code, replay.json()]).toEqual([
      0,
      { dryRun: false, replayed: ['job-2'], failed: [], missing: [] },
    ]);
    const dry = await warren('dead', 'discard', 'mail', '--all', '--dry-run', '--json');
    expect(dry.json()).toEqual({
      dryRun: true,
      discarded: ['job-0', 'job-1', 'job-3'],
      failed: [],
      missing: [],
    });
    expect((await warren('dead', 'discard', 'mail', 'job-0', 'job-3')).stdout).toBe(
      'discarded SendReceipt job-0\ndiscarded SendReceipt job-3\n',
    );
    expect(await post.ids('mail.dead')).toEqual(['job-1']);
    expect(await post.ids('mail')).toEqual(['job-2']);
  });

  it('lists separated by tabs where there is no terminal, and says when there are more', async () => {
    const { warren, post } = newPlace();
    await post.declare();
    await post.buryJobs(...numbered(3));
    const { stdout, stderr } = await warren('dead', 'list', 'mail', '--limit', '2');
    expect(stdout.split('\n')[0]).toBe(
      'job-0\tSendReceipt\tattempts-exhausted\t12\t0\tError: no mail for job-0\t2024-05-01T12:00:00.000Z',
    );
    expect(stdout.split('\n')).toHaveLength(3);
    expect(stderr).toMatch(/2 of 3 shown/);
  });

  it('shows what lies in `unrouted`, sends on what can go, and throws away', async () => {
    const { warren, post } = newPlace();
    await post.declare();
    const headers = { 'warren-attempt': 4 };
    for (const [messageId, queue] of [
      ['job-1', 'gone'],
      ['job-2', 'mail'],
      ['job-3', 'gone'],
    ] as const)
      await broker.publish({
        exchange: post.names.unrouted,
        routingKey: post.names.queue(queue),
        body: Buffer.from('{"to":"me"}'),
        properties: { messageId, type: 'SendReceipt', headers },
      });
    expect((await warren('dead', 'list', 'unrouted')).stdout).toBe(
      'job-1\tSendReceipt\tgone\t4\t0\t\t\njob-2\tSendReceipt\tmail\t4\t0\t\t\njob-3\tSendReceipt\tgone\t4\t0\t\t\n',
    );
    expect((await warren('dead', 'show', 'unrouted', 'job-2', '--json')).json()).toMatchObject([
      { id: 'job-2', queue: 'mail', reason: 'unrouted', attempt: 4, payload: { to: 'me' } },
    ]);
    const replay = await warren('dead', 'replay', 'unrouted', '--all', '--json');
    expect([replay.code, replay.json().replayed]).toEqual([1, ['job-2']]);
    expect(replay.stderr).toMatch(/job-3 stays unrouted: .*no queue took it/);
    const [sent] = await post.contents('mail');
    expect(sent).toMatchObject({ id: 'job-2', properties: { headers } });
    expect((await warren('dead', 'discard', 'unrouted', 'job-1')).code).toBe(0);
    expect(await post.ids('unrouted')).toEqual(['job-3']);
  });

  it('shows a terminal nothing that could take it over', async () => {
    const { warren, post } = newPlace();
    await post.declare();
    const evil = '\u001b[2J\u009b31mHa';
    await post.bury({ properties: { messageId: evil, type: evil, headers: { 'warren-reason': evil } } });
    const { stdout } = await warren('dead', 'list', 'mail');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    expect(stdout).not.toMatch(/[\u001b\u009b]/);
    expect((await warren('dead', 'list', 'mail', '--json')).json()[0].id).toBe(evil);
  });

  it.each([
    ['list', [], /queue 'mail' has no dead queue on this broker/],
    ['discard', ['--all'], /queue 'mail' has no dead queue on this broker/],
  ])('%s fails with 1 where there is no dead queue', async (verb, args, sentence) => {
    const { warren } = newPlace();
    const { code, stderr } = await warren('dead', verb, 'mail', ...args, '--json');
    expect([code, stderr]).toEqual([1, expect.stringMatching(sentence)]);
  });

  it('fails with 1 for ids that are not there and does the others', async () => {
    const { warren, post } = newPlace();
    await post.declare();
    await post.buryJobs('job-1', 'job-2');
    const { code, stderr, json } = await warren('dead', 'replay', 'mail', 'job-2', 'job-9', '--json');
    expect([code, json().replayed, json().missing]).toEqual([1, ['job-2'], ['job-9']]);
    expect(stderr).toMatch(/not among the dead jobs of mail: job-9/);
  });

  it('fails with 1 and keeps everything where the work queue is gone', async () => {
    const { warren, post } = newPlace();
    await post.declare();
    await post.buryJobs('job-1', 'job-2');
    await broker.admin((channel) => channel.deleteQueue(post.names.queue('mail')));
    const { code, stderr, json } = await warren('dead', 'replay', 'mail', '--all', '--json');
    expect([code, json().replayed, json().failed]).toMatchObject([
      1,
      [],
      [{ id: 'job-1', error: { name: 'UnroutableError' } }],
    ]);
    expect(stderr).toMatch(/job-1 stays in the dead queue: .*no queue took it/);
    expect(await post.ids('mail.dead')).toEqual(['job-1', 'job-2']);
  });

  /**
   * For NODE_OPTIONS: a process that kills itself a moment after it has written so many lines, wherever it is then. A busy
   * machine may read them so late that the command has long come to its end.
   */
  const killedAfter = (lines: number) => {
    const program = `
      const write = process.stdout.write;
      let lines = 0;
      process.stdout.write = function (text, ...rest) {
        lines += String(text).split('\\n').length - 1;
        if (lines >= ${lines}) setTimeout(() => process.kill(process.pid, 'SIGKILL'), Math.random() * 10);
        return write.call(this, text, ...rest);
      };`;
    return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(program)}` };
  };

  it('loses nothing when a replay is killed, again and again', async () => {
    const { spawnIn, warren, post } = newPlace();
    await post.declare();
    const all = numbered(150);
    await post.buryJobs(...all);
    for (const after of [1, 10, 25]) {
      const replaying = spawnIn(killedAfter(after), 'dead', 'replay', 'mail', '--all');
      expect(await replaying.ended()).toEqual({ code: null, signal: 'SIGKILL' });
      expect(replaying.lines.length).toBeGreaterThanOrEqual(after);
      // What it held is given back when the broker hears of its end.
      const found = async () => new Set([...(await post.ids('mail.dead')), ...(await post.ids('mail'))]);
      await until(async () => (await found()).size === all.length, {
        what: 'every job to be in one of the two',
      });
    }
    const left = new Set(await post.ids('mail.dead'));
    expect(left.size).toBeGreaterThan(0);
    expect((await warren('dead', 'replay', 'mail', '--all')).code).toBe(0);
    const replayed = await post.ids('mail');
    expect([...new Set(replayed)].sort()).toEqual([...all].sort());
    // Each kill may leave one letter in both queues.
    expect(replayed.length - all.length).toBeLessThanOrEqual(3);
    expect(await post.contents('mail.dead')).toEqual([]);
  });
});

describe('work', () => {
  it('declares, runs jobs, parks one, and drains on SIGTERM', async () => {
    const { spawn, warren, post } = newPlace();
    const worker = spawn('work', '--queue', 'mail:2');
    const consumers = async () =>
      (await broker.admin((channel) => channel.checkQueue(post.names.queue('mail')))).consumers;
    await until(async () => (await consumers()) === 1, { what: 'a consumer', within: 60_000 });
    await warren('enqueue', 'SendReceipt', '{"to":"me"}');
    await worker.waitForLine('sent to me');
    await warren('enqueue', 'SendReceipt', '{"to":"nobody"}', '--id', 'order-1');
    await until(async () => (await post.ids('mail.dead')).length === 1, { what: 'a dead letter' });
    expect((await warren('dead', 'list', 'mail', '--json')).json()).toMatchObject([
      {
        id: 'order-1',
        job: 'SendReceipt',
        reason: 'dead-by-job',
        attempt: 1,
        error: { message: 'there is nobody' },
      },
    ]);
    worker.kill('SIGTERM');
    expect(await worker.ended()).toEqual({ code: 0, signal: null });
  });

  it.each<[string, string[], number, RegExp]>([
    ['3 where it may only verify and nothing stands', ['--declare', 'verify'], 3, /does not exist/],
    [
      '78 without a job class',
      ['--workers', 'node_modules/warren/docs'],
      78,
      /exports a class that extends Job/,
    ],
  ])('ends with %s', async (_, args, code, sentence) => {
    const { warren } = newPlace();
    const ended = await warren('work', ...args);
    expect(ended.stderr).toMatch(sentence);
    expect(ended.code).toBe(code);
  });
});

describe('exit code 4: the broker cannot be reached', () => {
  const AMQP_URL = 'amqp://guest:geheim@127.0.0.1:1';

  it.each([
    ['work', ['work', '--connect-timeout', '1s']],
    ['another verb, after 10 s', ['status', '--json']],
  ])('%s', async (_, args) => {
    const { code, stdout, stderr } = await runWarren(
      args,
      { AMQP_URL, WARREN_HTTP: 'off', WARREN_LOG_LEVEL: 'silent' },
      project.folder,
    );
    expect(stderr).toMatch(/^warren: no broker could be reached within \d+ ms; last tried .*127\.0\.0\.1:1/);
    expect(stdout + stderr).not.toContain('geheim');
    expect([code, stdout]).toEqual([4, '']);
  });
});
