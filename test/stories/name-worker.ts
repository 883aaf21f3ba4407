/** What the tests of story 1 share: its programs, around a broker. */
import { management } from '../support/management.ts';
import { until } from '../support/until.ts';
import { freePort, type Program, startPage, startWorker } from './support.ts';

/** Where it takes place: a broker of its own, or a namespace of the shared one. */
export interface Place {
  url: string;
  managementUrl: string;
  namespace: string;
}

export interface NameWorkerStory {
  worker(): Promise<Program>;
  page(): Promise<Program>;
  /** Resolves when no job is left anywhere. RabbitMQ counts messages every five seconds. */
  untilNoJobIsLeft(): Promise<void>;
}

/** Who comes in place of another gets its ports. */
export async function nameWorkerStory({ url, managementUrl, namespace }: Place): Promise<NameWorkerStory> {
  const [workerPort, pagePort] = [await freePort(), await freePort()];
  const prefix = namespace === '' ? '' : `${namespace}.`;
  const left = async () => {
    const queues = await management(managementUrl).queues();
    // The nightly report's schedule always has its next tick in there.
    return queues.filter(
      ({ name, messages = 0 }) =>
        messages > 0 && name.startsWith(prefix) && !name.startsWith(`${prefix}schedules`),
    );
  };
  return {
    worker: () => startWorker({ url, namespace, port: workerPort }),
    page: () => startPage({ url, namespace, workerUrl: `http://127.0.0.1:${workerPort}`, port: pagePort }),
    untilNoJobIsLeft: async () =>
      void (await until(async () => (await left()).length === 0, { what: 'empty queues', within: 60_000 })),
  };
}

/** The worker's log line that a job named `name` is done, as data. */
export function success({ process }: Program, name: string) {
  const line = process.lines.find((text) => text.includes(`success: hello ${name}`));
  return line === undefined ? undefined : (JSON.parse(line) as Record<string, unknown>);
}

/** Enqueues as a visitor does, who waits while the page tries again by itself, with the same id; the job's id. */
export async function visit(page: Program, query: string): Promise<string> {
  let next = `?${query}`;
  return until(
    async () => {
      const answer = await fetch(`${page.url}/${next}`);
      const text = await answer.text();
      const [, id] = /data-watch="([^"]+)"/.exec(text) ?? [];
      if (answer.status === 200 && id) return id;
      next = tryAgain(text) ?? next;
      throw new Error(`the page said ${answer.status}: ${text}`);
    },
    { within: 60_000, every: 500, what: 'the page to have enqueued' },
  );
}

/** Where a page of trouble leads to. */
export function tryAgain(text: string): string | undefined {
  return /<a href="\/?([^"]+)">Try again/.exec(text)?.[1]?.replaceAll('&amp;', '&');
}
