/** `warren status`: what /healthz says, asked from outside. */
import type { Command } from 'commander';
import { schedulesOf } from '../core/schedule.ts';
import { type Health, healthOf } from '../health.ts';
import { inspectBroker } from '../inspect.ts';
import { levelsStand } from '../levels.ts';
import { VERSION } from '../version.ts';
import { EXIT } from './exit.ts';
import { settingFlags } from './flags.ts';
import { output } from './output.ts';
import type { Verb } from './program.ts';
import { openProject, type Project, visit } from './project.ts';

export function addStatus(program: Command, end: Verb): void {
  const status = program
    .command('status')
    .description('Show the broker, its queues and what waits.')
    .option('--check', 'exit with 1 unless all is well, for scripts and probes')
    .action(async () => {
      const flags = status.optsWithGlobals<{ json?: boolean; check?: boolean }>();
      const { health, levels } = await lookAt(await openProject(flags));
      if (flags.json) output.json(health);
      else show(health);
      if (levels) output.note('jobs for later wait in schedule-00 … schedule-27 and are not counted here');
      end(flags.check && health.status !== 'ok' ? EXIT.failed : EXIT.fine);
    });
  for (const option of settingFlags('queues')) status.addOption(option);
}

function lookAt({ settings, names, registry }: Project): Promise<{ health: Health; levels: boolean }> {
  const schedules = schedulesOf(registry.all, settings.schedules).length > 0;
  const queues = [...new Set([...settings.queueTypes.keys(), ...registry.queues])];
  return visit(settings, ['consuming'], async (broker) => {
    const snapshot = await inspectBroker(broker, { names, queues, delays: registry.delays, schedules });
    const health = healthOf({ version: VERSION, broker: broker.status, snapshot });
    return { health, levels: await levelsStand(broker, names).catch(() => false) };
  });
}

function show({ status, broker, queues, delayed, unrouted, schedules, reasons = [] }: Health): void {
  output.line(`${status} · RabbitMQ ${broker.version ?? '?'} · warren ${VERSION}`);
  for (const reason of reasons) output.line(`! ${reason}`);
  output.table(
    ['queue', 'ready', 'dead', 'consumers'],
    Object.entries(queues).map(([queue, { ready, dead, consumers }]) => [queue, ready, dead, consumers]),
  );
  const waiting = Object.entries(delayed).filter(([, count]) => count !== 0);
  output.line(
    `waiting: ${waiting.map(([delay, count]) => `${count ?? '?'} in delayed-${delay}`).join(', ') || 'none'}`,
  );
  output.line(`unrouted: ${unrouted ?? '?'}`);
  if (schedules)
    output.line(
      `schedules led by: ${schedules.leader ? `${schedules.leader.pid} on ${schedules.leader.host}` : 'nobody'}`,
    );
}
