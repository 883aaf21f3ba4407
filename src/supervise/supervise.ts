/** `warren work` with more than one process: one supervisor, its workers, one HTTP server, one exit code. */
import type { ChildProcess } from 'node:child_process';
import type { Logger } from 'pino';
import type { SupervisorSettings } from '../config.ts';
import { EventBus } from '../core/events.ts';
import { createHttpServer, type HttpServer } from '../http/server.ts';
import { subscribeLogs } from '../observe/logs.ts';
import { onStopSignals } from '../run/signals.ts';
import { VERSION } from '../version.ts';
import { supervisedHealthSource } from './health.ts';
import { SupervisedMetrics } from './metrics.ts';
import { Supervisor } from './supervisor.ts';

export interface SuperviseOptions {
  settings: SupervisorSettings;
  logger: Logger;
  /** Starts a process as worker `nr`, with an IPC channel and stderr as a pipe. */
  fork(nr: number): ChildProcess;
}

/**
 * Runs until a signal, or until its workers cannot run. Resolves with the worst exit code of the workers.
 * @throws ConfigurationError when the HTTP address cannot be had
 */
export async function supervise({ settings, logger, fork }: SuperviseOptions): Promise<number> {
  const began = { at: performance.now() };
  const bus = new EventBus();
  subscribeLogs(bus, logger);
  const supervisor = new Supervisor({ ...settings, fork, bus });
  const end = onStopSignals(
    (signal) => {
      began.at = performance.now();
      supervisor.stop(signal);
    },
    () => supervisor.kill(),
  );
  const http = httpOf(supervisor, bus, settings);
  try {
    const port = await http?.listen();
    bus.emit('supervisor.started', { processes: settings.processes, port });
    const code = await supervisor.run();
    bus.emit('supervisor.stopped', { code, durationMs: performance.now() - began.at });
    return code;
  } finally {
    await http?.close();
    end();
  }
}

function httpOf(supervisor: Supervisor, bus: EventBus, { http }: SupervisorSettings): HttpServer | undefined {
  if (!http) return undefined;
  const health = supervisedHealthSource(supervisor, VERSION);
  return createHttpServer({ ...http, health, metrics: new SupervisedMetrics(supervisor, bus) });
}
