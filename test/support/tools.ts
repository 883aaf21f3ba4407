/** Suites that need a program which is no part of warren. */
import { describe } from '@jest/globals';
import { toolPath } from './tool-path.ts';

export { toolPath };

/** `describe`, skipped where it cannot be run, with a line that says so. In CI a skipped test is a failure. */
export function describeWhere(able: boolean, missing: string): typeof describe | typeof describe.skip {
  if (able) return describe;
  process.stderr.write(`SKIPPED: ${missing}\n`);
  return describe.skip;
}

export function describeWith(name: Parameters<typeof toolPath>[0]): typeof describe | typeof describe.skip {
  return describeWhere(
    toolPath(name) !== undefined,
    `there is no ${name} on this machine (bin/tools install ${name})`,
  );
}
