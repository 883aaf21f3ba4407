/** `warren jobs`: the job classes of the workers folder. */
import type { Command } from 'commander';
import { formatDuration } from '../core/duration.ts';
import type { Registration } from '../core/registry.ts';
import { EXIT } from './exit.ts';
import { output } from './output.ts';
import type { Verb } from './program.ts';
import { openProjectWithJobs } from './project.ts';

interface JobRow {
  name: string;
  queue: string;
  attempts: number;
  /** Every wait a retry can take. */
  delays: string[];
  timeout: string | null;
  /** Whether payloads are checked against a schema. */
  checked: boolean;
}

export function addJobs(program: Command, end: Verb): void {
  const jobs = program
    .command('jobs')
    .description('List the job classes of the workers folder.')
    .action(async () => {
      const flags = jobs.optsWithGlobals<{ json?: boolean }>();
      const { registry } = await openProjectWithJobs(flags);
      const rows = registry.all.map(rowOf);
      if (flags.json) output.json(rows);
      else output.table(['job', 'queue', 'attempts', 'waits', 'timeout', 'schema'], rows.map(cellsOf));
      end(EXIT.fine);
    });
}

function rowOf({ name, queue, policy, timeoutMs, job }: Registration): JobRow {
  return {
    name,
    queue,
    attempts: policy.attempts,
    delays: [...new Set(policy.delays)].map(formatDuration),
    timeout: timeoutMs === undefined ? null : formatDuration(timeoutMs),
    checked: job.payload !== undefined,
  };
}

function cellsOf({ name, queue, attempts, delays, timeout, checked }: JobRow) {
  return [name, queue, attempts, delays.join(' '), timeout ?? '', checked ? 'yes' : 'no'];
}
