/** What the command says without a broker: help, slips on the command line, configuration. */
import { describe, expect, it } from '@jest/globals';
import { userProject } from '../../support/project.ts';
import { warren } from '../../support/warren.ts';

describe('help', () => {
  it('names every verb and goes to stdout', async () => {
    const { code, stdout, stderr } = await warren(['--help']);
    for (const verb of ['work', 'enqueue', 'jobs', 'topology', 'status', 'dead'])
      expect(stdout).toMatch(new RegExp(`^ {2}${verb} `, 'm'));
    expect([code, stderr]).toEqual([0, '']);
  });

  it('tells each flag of a verb with its default and its variable', async () => {
    const { stdout } = await warren(['work', '--help'], { COLUMNS: '200' });
    for (const text of [
      '--queue <name[:concurrency]>',
      '--grace <duration>',
      '30s',
      'WARREN_GRACE',
      '--declare <mode>',
      '--json',
    ])
      expect(stdout).toContain(text);
  });

  it('tells the version', async () => {
    expect((await warren(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('exit code 2: the command line is wrong', () => {
  it.each<[string, RegExp]>([
    ['frobnicate', /unknown command 'frobnicate'/],
    ['work --frobnicate', /unknown option '--frobnicate'/],
    ['work --grace 30', /--grace.*"30" is no usable duration; allowed: /],
    ['work --queue mail:2x', /--queue.*concurrency of queue 'mail'/],
    ['work --declare maybe', /--declare.*allowed: full, verify, none/],
    ['enqueue OnlyAName', /missing required argument 'json'/],
    ['enqueue Name {oops', /the payload is no JSON/],
    ['enqueue  {}', /NAME: a job needs a name/],
    ['enqueue Name {} --id ', /--id: the id of a job \(Name\) must be text of 1 to 255 bytes/],
    [`enqueue Name {} --id ${'é'.repeat(128)}`, /--id: the id of a job/],
    ['enqueue Name {} --queue jobs', /--queue: .*warren keeps that name/],
    ['enqueue Name {} --in soon', /--in: .*"soon" is no duration/],
    ['enqueue Name {} --in 30', /--in: '30' says no unit; write 30s or 30ms/],
    ['enqueue Name {} --in 3107d', /--in: .*at most 3106d21h24m15s/],
    ['enqueue Name {} --at tomorrow', /--at: 'tomorrow' is no moment/],
    ['enqueue Name {} --at 2027-01-01T08:00', /--at: .*date, time and offset/],
    ['enqueue Name {} --at 2027-02-30T08:00Z', /--at: .*is no moment/],
    ['enqueue Name {} --at 2027-01-01T08:00Z --in 5m', /either 'in' a while or 'at' a moment/],
    ['dead discard mail', /Give their ids, or --all/],
    ['dead replay mail', /Give their ids, or --all/],
    ['dead discard mail job-1 --all', /either ids or --all/],
    ['dead list', /missing required argument 'queue'/],
    ['dead list mail --limit none', /--limit: 'none' is no whole number/],
    ['dead list mail.dead', /QUEUE is the work queue; did you mean 'mail'\?/],
  ])('warren %s', async (line, sentence) => {
    // A URL nobody answers at: a slip is told before anything is tried.
    const { code, stdout, stderr } = await warren(line.split(' '), { AMQP_URL: 'amqp://127.0.0.1:1' });
    expect(stderr).toMatch(sentence);
    expect([code, stdout]).toEqual([2, '']);
  });
});

describe('exit code 78: configuration', () => {
  it.each<[NodeJS.ProcessEnv, string, RegExp]>([
    [{ AMQP_URL: 'http://u:geheim@a' }, 'status', /^warren: AMQP_URL: begins with 'http:'; allowed: amqp:/],
    [{ WARREN_GRACE: '30' }, 'jobs', /^warren: WARREN_GRACE: "30" is no usable duration/],
    [{ WARREN_NAMESPACE: 'a b' }, 'dead list mail', /^warren: WARREN_NAMESPACE: /],
    [{ WARREN_CONFIG: 'nowhere.json' }, 'status', /^warren: nowhere\.json cannot be read: /],
  ])('%j warren %s', async (env, line, sentence) => {
    const { code, stdout, stderr } = await warren(line.split(' '), env);
    expect(stderr).toMatch(sentence);
    expect(stderr).not.toContain('geheim');
    expect([code, stdout]).toEqual([78, '']);
  });
});

describe('jobs', () => {
  it('lists the classes, in JSON or separated by tabs', async () => {
    await using project = await userProject({
      'workers/mail.ts': `
        import { Job } from 'warren'
        export class SendReceipt extends Job<{ to: string }> {
          static queue = 'mail'
          static timeout = '30s'
          static retry = { attempts: 3, backoff: ['3s', '5m'] }
          perform() {}
        }`,
    });
    const json = await warren(['jobs', '--json'], {}, project.folder);
    expect(json.json()).toEqual([
      {
        name: 'SendReceipt',
        queue: 'mail',
        attempts: 3,
        delays: ['3s', '5m'],
        timeout: '30s',
        checked: false,
      },
    ]);
    const plain = await warren(['jobs'], {}, project.folder);
    expect(plain.stdout).toBe('SendReceipt\tmail\t3\t3s 5m\t30s\tno\n');
  });
});
