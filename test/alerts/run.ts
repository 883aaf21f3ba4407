/**
 * npm run alerts: a private broker, supervised workers and a real Prometheus with the rules of deploy/prometheus, whose
 * waits are shortened to seconds. Each failure is caused, its alert awaited, a table printed. Exit code 1: one never fired.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { createClient } from 'warren';
import { startPrivateBroker } from '../support/broker.ts';
import { freePort } from '../support/port.ts';
import { type RunningProcess, root, spawnProcess, spawnWarren } from '../support/process.ts';
import { toolPath } from '../support/tool-path.ts';
import { until } from '../support/until.ts';
import { causes, type Stage } from './causes.ts';

const WITHIN_MS = 60_000;

/** Minutes become seconds. */
function shortened(rules: string): string {
  return rules
    .replace(/for: \d+m/g, 'for: 2s')
    .replaceAll('[15m]', '[15s]')
    .replace(/\[(5|10)m\]/g, '[60s]');
}

async function startPrometheus(
  folder: string,
  workerPort: number,
): Promise<{ url: string; process: RunningProcess }> {
  const path = toolPath('prometheus');
  if (path === undefined) throw new Error('there is no prometheus here: bin/tools install prometheus');
  const port = await freePort();
  const rules = await readFile(join(root, 'deploy/prometheus/alerts.yml'), 'utf8');
  await writeFile(join(folder, 'alerts.yml'), shortened(rules));
  await writeFile(
    join(folder, 'prometheus.yml'),
    `global: { scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 1s }
rule_files: [alerts.yml]
scrape_configs:
  - job_name: warren
    static_configs: [{ targets: ['127.0.0.1:${workerPort}'] }]
`,
  );
  const process = spawnProcess(path, [
    `--config.file=${join(folder, 'prometheus.yml')}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ]);
  const url = `http://127.0.0.1:${port}`;
  await until(async () => (await fetch(`${url}/-/ready`)).ok, {
    within: 30_000,
    what: 'Prometheus to be ready',
  });
  return { url, process };
}

interface Alert {
  state: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

async function firing(url: string, name: string): Promise<Alert | undefined> {
  const { data } = (await (await fetch(`${url}/api/v1/alerts`)).json()) as { data: { alerts: Alert[] } };
  return data.alerts.find(({ state, labels }) => state === 'firing' && labels.alertname === name);
}

/** Undefined: it did not fire in time. */
async function cause(
  name: string,
  stage: Stage,
  prometheus: string,
): Promise<{ alert?: Alert; seconds: number }> {
  const began = performance.now();
  const seconds = () => Math.round((performance.now() - began) / 100) / 10;
  for (let round = 0; performance.now() - began < WITHIN_MS; round++) {
    await causes[name]?.(stage, round);
    const alert = await firing(prometheus, name);
    if (alert) return { alert, seconds: seconds() };
    await pause(1_000);
  }
  return { seconds: seconds() };
}

async function main(): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'warren-alerts-'));
  const port = await freePort();
  const broker = await startPrivateBroker();
  const prometheus = await startPrometheus(folder, port);
  let worker: RunningProcess | undefined;
  const env = { AMQP_URL: broker.url, WARREN_NAMESPACE: '', WARREN_LOG_LEVEL: 'warn' };
  const flags = [
    '--workers',
    'test/fixtures/alerts',
    '--processes',
    '2',
    '--port',
    `${port}`,
    '--grace',
    '2s',
  ];
  const startWorker = async () => {
    worker = spawnWarren(['work', ...flags, '--queue', 'default:4', '--queue', 'slow:1'], { env });
    await until(async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok, {
      within: 60_000,
      what: 'the workers to be ready',
    });
  };
  const client = await createClient({ url: broker.url });
  const stage: Stage = { broker, client, url: `http://127.0.0.1:${port}`, startWorker };
  let failed = 0;
  console.log(`RabbitMQ ${broker.series}\n\n| alert | fired after | what it said |\n| --- | --- | --- |`);
  try {
    for (const name of Object.keys(causes)) {
      const { alert, seconds } = await cause(name, stage, prometheus.url);
      if (!alert) failed += 1;
      console.log(
        `| \`${name}\` | ${alert ? `${seconds} s` : '**never**'} | ${alert?.annotations.summary ?? ''} |`,
      );
    }
    if (failed > 0) console.error(worker?.lines.slice(-30).join('\n'));
  } finally {
    await client.close();
    // Killed, the supervisor would leave its workers to end by themselves.
    worker?.kill('SIGTERM');
    await worker?.ended();
    await prometheus.process[Symbol.asyncDispose]();
    await broker.remove();
    await rm(folder, { recursive: true, force: true });
  }
  return failed > 0 ? 1 : 0;
}

process.exit(await main());
