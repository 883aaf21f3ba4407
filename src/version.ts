/** Of this package, from its package.json: one place to change it. */
import { createRequire } from 'node:module';

const { version } = createRequire(import.meta.url)('warren/package.json') as { version: string };

export const VERSION = version;
