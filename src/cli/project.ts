/** What the verbs have in common: the settings, the user's job classes, and a broker for a short visit. */
import { existsSync } from 'node:fs';
import { type Names, namesFor } from '../../topology/names.ts';
import type { Broker, ConnectionRole } from '../broker/broker.ts';
import { createRabbitBroker } from '../broker/rabbitmq.ts';
import {
  type ClientSettings,
  clientSettingsFrom,
  commandSources,
  type RuntimeSettings,
  runtimeSettingsFrom,
  type Source,
  type SupervisorSettings,
  supervisorSettingsFrom,
  workersFolderFrom,
} from '../config.ts';
import { ConfigurationError } from '../core/errors.ts';
import { Registry } from '../core/registry.ts';
import type { JobClass } from '../job.ts';
import { loadJobClasses } from '../load-workers.ts';
import { type Flags, valuesOf } from './flags.ts';

/** How long every verb but `work` waits for the broker, whatever a worker is told. */
export const VISIT_CONNECT_MS = 10_000;
const GOODBYE_MS = 2_000;

/** What a verb needs that knows nothing of job classes. */
export interface Place {
  settings: ClientSettings;
  names: Names;
}

export async function openPlace(flags: Flags): Promise<Place> {
  const settings = clientSettingsFrom(await sourcesOf(flags));
  return { settings, names: namesFor(settings.namespace) };
}

export interface Project {
  settings: RuntimeSettings;
  names: Names;
  /** As it was named. */
  folder: string;
  jobs: readonly JobClass[];
  registry: Registry;
}

/** Imports the workers folder. The default folder need not be there; one that was named must. */
export async function openProject(flags: Flags): Promise<Project> {
  const sources = await sourcesOf(flags);
  const { folder, named } = workersFolderFrom(sources);
  const jobs = named || existsSync(folder) ? await loadJobClasses(folder) : [];
  const settings = runtimeSettingsFrom(sources, jobs);
  return { settings, names: namesFor(settings.namespace), folder, jobs, registry: new Registry(jobs) };
}

/** For `work`, before any job class is loaded. */
export async function openSupervision(flags: Flags): Promise<SupervisorSettings> {
  return supervisorSettingsFrom(await sourcesOf(flags));
}

/** For verbs that are pointless without a job class. */
export async function openProjectWithJobs(flags: Flags): Promise<Project> {
  const project = await openProject(flags);
  if (project.jobs.length === 0)
    throw new ConfigurationError(
      existsSync(project.folder)
        ? `no file in ${project.folder} exports a class that extends Job`
        : `there is no folder '${project.folder}'; name the one with your job classes with --workers`,
    );
  return project;
}

function sourcesOf(flags: Flags): Promise<readonly Source[]> {
  return commandSources(valuesOf(flags), process.cwd());
}

/** @throws BrokerUnreachableError after 10 s */
export async function visit<T>(
  { urls }: Pick<ClientSettings, 'urls'>,
  roles: readonly ConnectionRole[],
  use: (broker: Broker) => Promise<T>,
): Promise<T> {
  const broker = createRabbitBroker({ urls, connectionName: 'warren-command' });
  try {
    await broker.connect({ timeout: VISIT_CONNECT_MS, roles });
    return await use(broker);
  } finally {
    await broker.close(GOODBYE_MS);
  }
}
