/** What `perform` writes, each line with the identity of its job. */
import type { Logger } from 'pino';
import type { JobContext, JobLog } from '../job.ts';

const SILENT: JobLog = { debug() {}, info() {}, warn() {}, error() {} };

export function jobLog(
  logger: Logger | false,
  attempt: Pick<JobContext, 'id' | 'job' | 'queue' | 'attempt'>,
): JobLog {
  if (!logger) return SILENT;
  const { id, job, queue } = attempt;
  const about = { id, job, queue, attempt: attempt.attempt };
  const write = (level: keyof JobLog) => (message: string, fields?: object) => {
    if (logger.isLevelEnabled(level)) logger[level]({ ...fields, ...about }, message);
  };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}
