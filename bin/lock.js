#!/usr/bin/env node
// After `npm install` behind a registry that lacks other platforms' binaries: npm leaves them out of the lock file, and
// then `npm ci` refuses the file everywhere. Their version stands in their parent, their platform in their name: enter
// them by that, without the integrity that could not be fetched.
import { readFileSync, writeFileSync } from 'node:fs';

const file = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8'));
const systems = /(aix|android|darwin|freebsd|linux|netbsd|openbsd|openharmony|sunos|win32)/;
const processors = /(arm64|arm|x64|ia32|ppc64|s390x|riscv64|loong64|mips64el|wasm32)/;

function entry(name, version, parent) {
  const platform = name.split('/').at(-1);
  const os = systems.exec(platform)?.[1];
  const cpu = processors.exec(platform)?.[1];
  if (!cpu || !/^\d/.test(version)) return undefined;
  const libc =
    os === 'linux' && (/musl/.test(platform) ? 'musl' : /gnu/.test(platform) ? 'glibc' : undefined);
  return {
    version,
    cpu: [cpu],
    ...(parent.dev && { dev: true }),
    ...(libc && { libc: [libc] }),
    optional: true,
    ...(os && { os: [os] }),
  };
}

let entered = 0;
for (const [path, parent] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const places = [`${path}/node_modules/${name}`, `node_modules/${name}`];
    const missing = !places.some((place) => lock.packages[place]) && entry(name, version, parent);
    if (missing) {
      lock.packages[`node_modules/${name}`] = missing;
      entered += 1;
    }
  }
}

const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1));
lock.packages = Object.fromEntries(sorted);
if (entered > 0) writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
console.error(`lock: ${entered} packages of other platforms entered`);
