/** Commander options made from the table of settings, so that a flag cannot differ from its variable. */
import { InvalidArgumentError, Option } from 'commander';
import { SETTINGS, type Setting, type SettingKey, type Values } from '../config/settings.ts';

export type Flags = Record<string, unknown>;

/** The flags of these settings. A value that cannot be is a wrong command line, told before anything is done. */
export function settingFlags(...keys: SettingKey[]): Option[] {
  return keys.map((key) => {
    const { flag = '', doc, env }: Setting<unknown> = SETTINGS[key];
    const option = new Option(flag, `${doc} (${defaultOf(key)}; ${env[0]})`);
    if (flag.startsWith('--no-') || !flag.includes('<')) return option;
    return key === 'queues' ? option.argParser(repeated) : option.argParser(checked(key));
  });
}

function defaultOf(key: SettingKey): string {
  const { defaultText, fallback }: Setting<unknown> = SETTINGS[key];
  return `default: ${defaultText ?? fallback}`;
}

function checked(key: SettingKey): (value: string) => string {
  return (value) => {
    usable(() => SETTINGS[key].read(value));
    return value;
  };
}

function repeated(value: string, before: string[] = []): string[] {
  const all = [...before, value];
  usable(() => SETTINGS.queues.read(all));
  return all;
}

function usable(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

/** What commander read, by the names of the settings: `--queue` is called `queue` there. */
export function valuesOf({ queue, http, ...flags }: Flags): Values {
  const known = Object.entries(flags).filter(([key]) => Object.hasOwn(SETTINGS, key));
  return {
    ...Object.fromEntries(known),
    ...(Array.isArray(queue) ? { queues: queue } : {}),
    // Commander says true for a `--no-…` flag that was not given.
    ...(http === false ? { http } : {}),
  };
}
