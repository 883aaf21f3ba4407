/** Programs that are no part of warren but stand beside it; bin/tools fetches them. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../../bin/tools', import.meta.url));

/** Where it is; undefined where this machine has none. */
export function toolPath(name: 'redis-server' | 'prometheus' | 'promtool'): string | undefined {
  try {
    return execFileSync(program, ['path', name], { encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}
