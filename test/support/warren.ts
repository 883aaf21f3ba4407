/** The command run to its end. */
import { spawnWarren } from './process.ts';

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
  /** What it printed with `--json`. */
  // biome-ignore lint/suspicious/noExplicitAny: the tests say what they expect in it
  json(): any;
}

export async function warren(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  cwd?: string,
): Promise<Ran> {
  const child = spawnWarren([...args], { env, ...(cwd === undefined ? {} : { cwd }) });
  const { code } = await child.ended({ within: 60_000 });
  return { code, stdout: child.stdout, stderr: child.stderr, json: () => JSON.parse(child.stdout) };
}
