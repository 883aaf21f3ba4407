/** What a test makes ends with it. */
import { afterEach } from '@jest/globals';

/** For one test file: what is pushed while a test runs is called after it, the last first. */
export function endsOfEachTest(): (() => unknown)[] {
  const ends: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });
  return ends;
}
