/** Importing a user's file, TypeScript as well as JavaScript. */
import { pathToFileURL } from 'node:url';

const TYPESCRIPT = /\.[mc]?ts$/;

export async function importModule(file: string): Promise<Record<string, unknown>> {
  if (TYPESCRIPT.test(file)) await understandTypeScript();
  return (await import(pathToFileURL(file).href)) as Record<string, unknown>;
}

let understood: Promise<void> | undefined;

/**
 * For the whole process and for good: jobs may import more of their code later, and with one registration
 * every file shares its modules with the others. Loaded only where needed, because it costs about 100 ms.
 */
function understandTypeScript(): Promise<void> {
  understood ??= registerTsx();
  return understood;
}

async function registerTsx(): Promise<void> {
  const [esm, cjs] = await Promise.all([import('tsx/esm/api'), import('tsx/cjs/api')]);
  cjs.register();
  esm.register();
}
