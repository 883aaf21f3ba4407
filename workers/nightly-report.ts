import { Job, type JobContext } from 'warren';

export interface Report {
  /** Days to look back. */
  days: number;
}

/** At three in the morning in Berlin, and a longer one on Mondays. One run each, however many workers there are. */
export class NightlyReport extends Job<Report> {
  static queue = 'reports';
  static cron = [
    { name: 'nightly', expression: '0 3 * * *', timeZone: 'Europe/Berlin', payload: { days: 1 } },
    {
      name: 'weekly',
      expression: '30 3 * * MON',
      timeZone: 'Europe/Berlin',
      payload: { days: 7 },
      missed: 'skip',
    },
  ];

  async perform({ days }: Report, { id, log }: JobContext) {
    // The id names the tick, `cron:NightlyReport#nightly:2026-11-22T02:00:00Z`: who mails it can deduplicate by it.
    log.info(`reporting on ${days} day(s)`, { tick: id });
  }
}
