/** The alert rules: sound, each set off by its failure and by nothing less, and each told of in the docs. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from '@jest/globals';
import { createMetrics } from '../../src/observe/metrics.ts';
import { root } from '../support/process.ts';
import { describeWith, toolPath } from '../support/tools.ts';

const run = promisify(execFile);
const rulesFile = join(root, 'deploy/prometheus/alerts.yml');
const testsFile = join(root, 'test/alerts/rules.test.yml');
const rules = readFileSync(rulesFile, 'utf8');
const names = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name as string);

describeWith('promtool')('the alert rules', () => {
  const promtool = (...args: string[]) => run(toolPath('promtool') ?? '', args, { cwd: root });

  it('are sound', async () => {
    expect((await promtool('check', 'rules', rulesFile)).stdout).toContain(`${names.length} rules found`);
  });

  it('fire for their failure, and for nothing less', async () => {
    expect((await promtool('test', 'rules', testsFile)).stdout).toContain('SUCCESS');
  });
});

it.each(names)('%s is tested, caused by npm run alerts, and told of in docs/operations.md', (name) => {
  const tests = readFileSync(testsFile, 'utf8');
  expect(tests).toContain(`name: ${name} fires`);
  expect(tests).toContain(`name: ${name} is quiet`);
  expect(readFileSync(join(root, 'test/alerts/causes.ts'), 'utf8')).toContain(`${name}:`);
  expect(readFileSync(join(root, 'docs/operations.md'), 'utf8')).toContain(`| \`${name}\` |`);
});

it('ask for metrics that exist', async () => {
  const text = await createMetrics({ jobs: [], queues: ['mail'], version: '0' }).text();
  const asked = new Set(rules.match(/warren_\w+/g));
  // Told by the supervisor alone.
  asked.delete('warren_process_restarts_total');
  expect([...asked].filter((name) => !text.includes(`# TYPE ${name} `))).toEqual([]);
});
