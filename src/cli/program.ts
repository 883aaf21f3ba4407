/** The command line: verbs, flags, and the way from an error to an exit code. */
import { Command, CommanderError } from 'commander';
import { VERSION } from '../version.ts';
import { addDead } from './dead.ts';
import { addEnqueue } from './enqueue.ts';
import { describe, EXIT, exitCodeOf } from './exit.ts';
import { settingFlags } from './flags.ts';
import { addJobs } from './jobs.ts';
import { keepStdoutForResult, output } from './output.ts';
import { addSchedule } from './schedule.ts';
import { addStatus } from './status.ts';
import { addTopology } from './topology.ts';
import { addWork } from './work.ts';

/** How a verb ends: its exit code. */
export type Verb = (code: number) => void;

/** @returns the exit code; never rejects */
export async function run(args: readonly string[]): Promise<number> {
  let code: number = EXIT.fine;
  const program = build((ended) => {
    code = ended;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return code;
  } catch (error) {
    // Commander has said itself what was wrong.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.fine : EXIT.usage;
    output.note(describe(error));
    return exitCodeOf(error);
  }
}

function build(end: Verb): Command {
  const program = new Command('warren')
    .description('Jobs on RabbitMQ: run workers, enqueue, look at what stands and what died.')
    .version(VERSION)
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .showHelpAfterError('(warren --help, or warren <verb> --help, tells more)')
    .exitOverride();
  program.option('--json', 'Print the result as JSON and nothing else on stdout.');
  // A worker's stdout is its log: it has no result.
  program.hook('preAction', (_, verb) => {
    if (verb.optsWithGlobals<{ json?: boolean }>().json && verb.name() !== 'work') keepStdoutForResult();
  });
  for (const option of settingFlags('config', 'namespace', 'workers')) program.addOption(option);
  for (const add of [addWork, addEnqueue, addJobs, addSchedule, addTopology, addStatus, addDead])
    add(program, end);
  program.addHelpText('after', HELP);
  return program;
}

const HELP = `
The broker is AMQP_URL, else RABBITMQ_URL, else CLOUDAMQP_URL, else amqp://guest:guest@localhost:5672.
Flags go before environment variables, these before the config file.

Exit codes: 0 fine · 1 failed · 2 wrong command line · 3 the broker differs, or jobs were released at the
grace's end · 4 broker unreachable · 78 configuration · 128+n on a second signal.`;
