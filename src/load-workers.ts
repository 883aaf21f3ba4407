/** Finding the job classes of a folder: every exported class that extends Job and has a perform. */
import { readdir, realpath, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { importModule } from './config/import-module.ts';
import { ConfigurationError } from './core/errors.ts';
import { isJobClass, type JobClass, jobNameOf } from './job.ts';

const CODE = /\.(m?[tj]s|cjs)$/;
const LEFT_OUT = /^\.|\.d\.m?ts$|\.(test|spec)\.[cm]?[tj]s$|^node_modules$/;

/**
 * The job classes of a folder and its subfolders, always in the same order.
 * @throws ConfigurationError when there is no such folder, a file cannot be imported, a class has no perform and is no
 * base of another, or two classes share a name
 */
export async function loadJobClasses(folder: string): Promise<JobClass[]> {
  const fileOf = new Map<JobClass, string>();
  for (const file of await codeFilesOf(folder))
    for (const job of jobClassesOf(await importWorker(file))) if (!fileOf.has(job)) fileOf.set(job, file);
  const jobs = [...fileOf.keys()];
  for (const [job, file] of fileOf) if (!canPerform(job)) refuseUnlessBase(job, jobs, file);
  for (const job of jobs) if (!canPerform(job)) fileOf.delete(job);
  refuseDoubles(fileOf);
  return [...fileOf.keys()];
}

async function codeFilesOf(folder: string): Promise<string[]> {
  try {
    return await walk(folder, new Set());
  } catch (error) {
    const { code, path = folder } = error as NodeJS.ErrnoException;
    throw new ConfigurationError(`workers folder ${folder}: ${path} cannot be read (${code})`, {
      cause: error,
    });
  }
}

/** Links are followed, because that is how Kubernetes mounts files; a folder that was seen is not entered again. */
async function walk(folder: string, seen: Set<string>): Promise<string[]> {
  const place = await realpath(folder);
  if (seen.has(place)) return [];
  seen.add(place);
  const files: string[] = [];
  for (const name of (await readdir(folder)).filter((entry) => !LEFT_OUT.test(entry)).sort()) {
    const path = join(folder, name);
    const entry = await stat(path);
    if (entry.isDirectory()) files.push(...(await walk(path, seen)));
    else if (entry.isFile() && CODE.test(name)) files.push(path);
  }
  return files;
}

async function importWorker(file: string): Promise<Record<string, unknown>> {
  try {
    return await importModule(await realpath(file));
  } catch (error) {
    const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
    throw new ConfigurationError(`${shown(file)} cannot be imported: ${why}`, { cause: error });
  }
}

/** Of a CommonJS file Node may only see the default export: the object that holds the others. */
function jobClassesOf(module: Record<string, unknown>): JobClass[] {
  const { default: fallback } = module;
  const inDefault = typeof fallback === 'object' && fallback !== null ? Object.values(fallback) : [];
  return [...Object.values(module), ...inDefault].filter(isJobClass);
}

function canPerform(job: JobClass): boolean {
  return typeof job.prototype.perform === 'function';
}

/** A base class without perform is no job by itself; any other without it has it misspelt. */
function refuseUnlessBase(job: JobClass, all: readonly JobClass[], file: string): void {
  if (all.some((other) => other.prototype instanceof job)) return;
  throw new ConfigurationError(
    `class ${job.name} in ${shown(file)} extends Job and has no perform(payload, context) method; if it is the base of others, export one of them too`,
  );
}

function refuseDoubles(fileOf: Map<JobClass, string>): void {
  const firstOf = new Map<string, string>();
  for (const [job, file] of fileOf) {
    const name = jobNameOf(job);
    const first = firstOf.get(name);
    if (first !== undefined)
      throw new ConfigurationError(
        `two job classes are called '${name}', in ${shown(first)} and in ${shown(file)}; give one of them a static jobName of its own`,
      );
    firstOf.set(name, file);
  }
}

function shown(file: string): string {
  const near = relative('', file);
  return near.startsWith('..') ? file : near;
}
