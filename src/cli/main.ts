#!/usr/bin/env node
import { endWith, listen } from './signals.ts';

listen();
// While it loads, a worker has nothing to drain.
if (process.argv[2] === 'work') endWith(0);
const [{ run }, { flushed, survivesItsReader }] = await Promise.all([
  import('./program.ts'),
  import('./output.ts'),
]);
survivesItsReader();
const code = await run(process.argv.slice(2));
await flushed();
// User code may hold sockets and timers for ever; the command ends all the same.
process.exit(code);
