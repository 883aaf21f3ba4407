/** `warren work`: one worker process, or a supervisor of several. */
import { type ChildProcess, fork } from 'node:child_process';
import { type Command, Option } from 'commander';
import type { SupervisorSettings } from '../config.ts';
import type { CreateRuntimeOptions } from '../runtime/plan.ts';
import type { Supervision } from '../supervise/link.ts';
import { EXIT } from './exit.ts';
import { type Flags, settingFlags } from './flags.ts';
import { output } from './output.ts';
import type { Verb } from './program.ts';
import { openProjectWithJobs, openSupervision, type Project } from './project.ts';
import { endWith, handOver } from './signals.ts';

export function addWork(program: Command, end: Verb): void {
  const work = program
    .command('work')
    .description('Run jobs until SIGTERM or SIGINT.')
    .action(async () => {
      // Until it runs there is nothing to drain.
      endWith(EXIT.fine);
      const flags = work.optsWithGlobals<Flags & { supervised?: Supervision }>();
      const settings = await openSupervision(flags);
      if (flags.supervised) end(await workSupervised(flags.supervised, flags, settings));
      else if (settings.processes > 1) end(await superviseWorkers(settings));
      else end(await workAlone(flags));
    });
  const flags = [
    'queues',
    'concurrency',
    'processes',
    'grace',
    'ackTimeout',
    'declare',
    'levels',
    'connectTimeout',
    'port',
    'host',
    'http',
    'logLevel',
  ] as const;
  for (const option of settingFlags(...flags)) work.addOption(option);
  work.addOption(supervised());
}

/** How a supervisor calls its workers. Not by the environment: a job's own children would inherit that. */
function supervised(): Option {
  return new Option('--supervised <pid:worker>').hideHelp().argParser((value): Supervision => {
    const [supervisorPid = 0, worker = 0] = value.split(':').map(Number);
    return { supervisorPid, worker };
  });
}

async function workAlone(flags: Flags): Promise<number> {
  const project = await openProjectWithJobs(flags);
  // Only here: the other verbs start faster without metrics and an HTTP server.
  const [{ createRuntime }, { createLogger }] = await Promise.all([
    import('../runtime.ts'),
    import('../observe/logs.ts'),
  ]);
  const logger = createLogger(project.settings.logLevel);
  const running = createRuntime({ ...optionsFrom(project), logger }).run();
  handOver();
  return running;
}

/** The supervisor loads no job class: whatever those do to a process, it stays. */
async function superviseWorkers(settings: SupervisorSettings): Promise<number> {
  const [{ supervise }, { createLogger }] = await Promise.all([
    import('../supervise/supervise.ts'),
    import('../observe/logs.ts'),
  ]);
  const running = supervise({ settings, logger: createLogger(settings.logLevel), fork: forkWorker });
  handOver();
  return running;
}

/** The same command line again; stdout is shared, stderr passes through, so that its last lines are known. */
function forkWorker(worker: number): ChildProcess {
  const [, command = '', ...args] = process.argv;
  const child = fork(command, [...args, '--supervised', `${process.pid}:${worker}`], {
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    // JSON would turn NaN, which gauges may say, into null.
    serialization: 'advanced',
  });
  if (child.stderr) output.passOn(child.stderr);
  return child;
}

async function workSupervised(
  supervision: Supervision,
  flags: Flags,
  { graceMs, logLevel }: SupervisorSettings,
): Promise<number> {
  // It was killed meanwhile: nothing was begun.
  if (process.ppid !== supervision.supervisorPid) return EXIT.fine;
  const [{ SupervisorLink }, { graceOfWorkers }, { createSupervisedRuntime }, { createLogger }] =
    await Promise.all([
      import('../supervise/link.ts'),
      import('../supervise/supervisor.ts'),
      import('../runtime.ts'),
      import('../observe/logs.ts'),
    ]);
  const grace = graceOfWorkers(graceMs);
  const link = new SupervisorLink(supervision, grace);
  handOver();
  const project = await openProjectWithJobs(flags);
  const logger = createLogger(logLevel).child({ worker: supervision.worker });
  const runtime = createSupervisedRuntime({
    ...optionsFrom(project),
    ...{ logger, grace, http: false, signals: false },
  });
  link.serve(runtime);
  return runtime.run();
}

function optionsFrom({ settings, jobs, folder }: Project): CreateRuntimeOptions {
  const {
    urls,
    connectTimeoutMs,
    graceMs,
    ackTimeoutMs,
    queues,
    namespace,
    maxInFlight,
    maxPayload,
    http,
    declare,
    levels,
    middleware,
    config,
  } = settings;
  return {
    jobs,
    workers: folder,
    url: urls,
    connectTimeout: connectTimeoutMs,
    grace: graceMs,
    ackTimeout: ackTimeoutMs,
    queues: Object.fromEntries(queues),
    queueTypes: Object.fromEntries(settings.queueTypes),
    schedules: settings.schedules,
    ...{ namespace, maxInFlight, maxPayload, http, declare, levels, middleware, config },
  };
}
