/** The settings as a Markdown table. */
import { SETTINGS, type Setting } from './settings.ts';

export function settingsTable(): string {
  const head = ['setting', 'variable', 'flag', 'default', 'what it does'];
  const rows = Object.entries(SETTINGS).map(([key, setting]) => rowOf(key, setting as Setting<unknown>));
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function rowOf(key: string, { env, flag, secret, fallback, defaultText, doc }: Setting<unknown>): string[] {
  const variables = env.flatMap((name) => (secret ? [name, `${name}_FILE`] : [name]));
  return [
    code(key),
    variables.map(code).join(', '),
    flag ? code(flag) : '',
    defaultText ?? code(String(fallback)),
    doc,
  ];
}

function code(text: string): string {
  return `\`${text}\``;
}
