/** The config file: `warren.config.json`, `.js`, `.mjs` or `.ts` in the current folder, or the one that is named. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { ConfigurationError } from '../core/errors.ts';
import { parseJson } from '../core/json.ts';
import { importModule } from './import-module.ts';
import { isPlainObject } from './readers.ts';
import { SETTINGS, type Values } from './settings.ts';

export interface ConfigFile {
  /** How messages call it. */
  readonly name: string;
  /** Absolute. */
  readonly path: string;
  readonly values: Values;
}

const NAMES = ['json', 'js', 'mjs', 'ts'].map((ending) => `warren.config.${ending}`);

/** @throws ConfigurationError when the file that is named is not there, or a file cannot be used */
export async function loadConfigFile(
  named: string | undefined,
  folder: string,
): Promise<ConfigFile | undefined> {
  const path = named === undefined ? findFile(folder) : resolve(folder, named);
  if (path === undefined) return undefined;
  const name = named ?? basename(path);
  const content = await readConfigFile(path, name);
  if (!isPlainObject(content)) throw new ConfigurationError(`${name}: it holds no object of settings`);
  return { name, path, values: Object.freeze(knownValues(content, name, dirname(path))) };
}

function findFile(folder: string): string | undefined {
  const [first, second] = NAMES.filter((name) => existsSync(resolve(folder, name)));
  if (second)
    throw new ConfigurationError(
      `there are both ${first} and ${second}; remove one, or name one with --config`,
    );
  return first && resolve(folder, first);
}

async function readConfigFile(path: string, name: string): Promise<unknown> {
  try {
    return path.endsWith('.json')
      ? parseJson(await readFile(path, 'utf8'))
      : (await importModule(path)).default;
  } catch (error) {
    const { message = String(error) } = error as Partial<Error>;
    throw new ConfigurationError(`${name} cannot be read: ${message}`, { cause: error });
  }
}

function knownValues(content: Record<string, unknown>, name: string, folder: string): Values {
  const values = flattened(content);
  const allowed = Object.keys(SETTINGS).filter((key) => key !== 'config');
  const unknown = Object.keys(values).find((key) => !allowed.includes(key));
  if (unknown !== undefined)
    throw new ConfigurationError(`${name}: there is no setting '${unknown}'; allowed: ${allowed.join(', ')}`);
  // Relative to the file, not to where the command happens to be started.
  return typeof values.workers === 'string'
    ? { ...values, workers: resolve(folder, values.workers) }
    : values;
}

/** In code and files port and host stand within `http`. */
export function flattened({ http, ...values }: Values): Values {
  return { ...values, ...(isPlainObject(http) ? { ...http, http: true } : { http }) };
}
