/**
 * The public API as text: what `warren` and its subpaths export, and every type of ours that is reached through it.
 * `npm run api:update` writes it to public-api.txt; the test beside this file compares.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type ModuleItem, parseSync, printSync } from '@swc/core';

const root = fileURLToPath(new URL('../..', import.meta.url));
export const snapshotFile = fileURLToPath(new URL('public-api.txt', import.meta.url));

const entries = {
  warren: 'src/index.d.ts',
  'warren/idempotency': 'src/idempotency.d.ts',
  'warren/testing': 'src/testing.d.ts',
};

/** Declarations are made afresh, so that a stale dist/ never decides. */
export function publicApi(): string {
  mkdirSync(join(root, '.run'), { recursive: true });
  const out = mkdtempSync(join(root, '.run/api-'));
  try {
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const options = [
      '-p',
      'tsconfig.build.json',
      '--emitDeclarationOnly',
      '--sourceMap',
      'false',
      '--outDir',
      out,
    ];
    spawnSync(process.execPath, [tsc, ...options], { cwd: root }); // type errors are another check's affair
    return describe(out);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

function describe(out: string): string {
  const surface = new Surface(out);
  const sections = Object.entries(entries).map(
    ([name, file]) => `# ${name}\n\n${surface.exportsOf(join(out, file))}`,
  );
  return `${[...sections, `# reached through them\n\n${surface.reached()}`].join('\n')}`;
}

/** A declaration's place: the file and the name it has there. */
interface Place {
  file: string;
  name: string;
}

class Surface {
  readonly #out: string;
  readonly #files = new Map<string, DeclarationFile>();
  readonly #shown = new Set<string>();
  readonly #waiting: Place[] = [];

  constructor(out: string) {
    this.#out = out;
  }

  exportsOf(file: string): string {
    const names = [...this.#open(file).exports.keys()].sort();
    return names.map((name) => this.#show(this.#resolve({ file, name }), name)).join('');
  }

  /** Ours, and not exported itself; in the order of file and name. */
  reached(): string {
    const texts: [string, string][] = [];
    for (let place = this.#waiting.shift(); place; place = this.#waiting.shift()) {
      const key = this.#keyOf(place);
      if (!this.#shown.has(key)) texts.push([key, this.#show(place, place.name)]);
    }
    return texts
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, text]) => text)
      .join('');
  }

  #show(place: Place, as: string): string {
    this.#shown.add(this.#keyOf(place));
    const declared = this.#open(place.file).declarations.get(place.name) ?? [];
    const text = declared.length > 0 ? declared.map(print).join('') : `// from ${place.file}\n`;
    for (const name of identifiersOf(declared)) this.#follow({ file: place.file, name });
    return as === place.name ? `${text}\n` : `// as ${as}\n${text}\n`;
  }

  #follow(use: Place): void {
    const file = this.#open(use.file);
    if (!file.declarations.has(use.name) && !file.imports.has(use.name)) return;
    const place = this.#resolve(use);
    if (existsSync(place.file)) this.#waiting.push(place);
  }

  /** Through imports and re-exports to where a name is declared. */
  #resolve(place: Place): Place {
    if (!existsSync(place.file)) return place;
    const file = this.#open(place.file);
    if (file.declarations.has(place.name)) return place;
    const exported = file.exports.get(place.name);
    const isPassedOn = exported && (exported.file !== place.file || exported.name !== place.name);
    const from = isPassedOn ? exported : file.imports.get(place.name);
    if (from) return this.#resolve(from);
    throw new Error(`${place.name} of ${relative(this.#out, place.file)} is declared nowhere`);
  }

  #open(path: string): DeclarationFile {
    const known = this.#files.get(path) ?? new DeclarationFile(path);
    this.#files.set(path, known);
    if (!known.read) known.load((file) => this.#open(file));
    return known;
  }

  #keyOf({ file, name }: Place): string {
    return `${relative(this.#out, file)} ${name}`;
  }
}

class DeclarationFile {
  readonly path: string;
  /** An overloaded function has several. */
  readonly declarations = new Map<string, ModuleItem[]>();
  readonly exports = new Map<string, Place>();
  readonly imports = new Map<string, Place>();
  read = false;

  constructor(path: string) {
    this.path = path;
  }

  load(open: (file: string) => DeclarationFile): void {
    this.read = true;
    const module = parseSync(readFileSync(this.path, 'utf8'), { syntax: 'typescript', target: 'es2022' });
    for (const item of module.body) this.#take(item, open);
  }

  #take(item: ModuleItem, open: (file: string) => DeclarationFile): void {
    switch (item.type) {
      case 'ImportDeclaration':
        for (const { type, local, ...rest } of item.specifiers) {
          const imported = 'imported' in rest ? rest.imported?.value : undefined;
          if (type === 'ImportSpecifier') {
            this.imports.set(local.value, {
              file: this.#target(item.source.value),
              name: imported ?? local.value,
            });
          }
        }
        break;
      case 'ExportNamedDeclaration':
        for (const specifier of item.specifiers) {
          if (specifier.type !== 'ExportSpecifier') throw new Error(`${this.path}: export ${specifier.type}`);
          const name = specifier.orig.value;
          const file = item.source ? this.#target(item.source.value) : this.path;
          this.exports.set(specifier.exported?.value ?? name, { file, name });
        }
        break;
      case 'ExportAllDeclaration': {
        const file = this.#target(item.source.value);
        for (const name of open(file).exports.keys()) this.exports.set(name, { file, name });
        break;
      }
      case 'ExportDeclaration':
        for (const name of namesOf(item.declaration)) {
          this.#declare(name, item);
          this.exports.set(name, { file: this.path, name });
        }
        break;
      default:
        for (const name of namesOf(item)) this.#declare(name, item);
    }
  }

  #declare(name: string, item: ModuleItem): void {
    this.declarations.set(name, [...(this.declarations.get(name) ?? []), item]);
  }

  /** A package's name stays as it is: nothing of ours. */
  #target(specifier: string): string {
    if (!specifier.startsWith('.')) return specifier;
    return resolve(dirname(this.path), specifier.replace(/\.[jt]s$/, '.d.ts'));
  }
}

function namesOf(declaration: object): string[] {
  const { id, identifier, declarations } = declaration as {
    id?: { value?: string };
    identifier?: { value?: string };
    declarations?: { id: { value?: string } }[];
  };
  const names = declarations ? declarations.map((one) => one.id.value) : [(id ?? identifier)?.value];
  return names.filter((name) => name !== undefined);
}

/** Every identifier in a declaration; those that name nothing of ours fall out later. */
function identifiersOf(value: unknown): Set<string> {
  const names = new Set<string>();
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) node.forEach(visit);
    else if (node && typeof node === 'object') {
      const { type, value: name } = node as { type?: string; value?: unknown };
      if (type === 'Identifier') names.add(String(name));
      else Object.values(node).forEach(visit);
    }
  };
  visit(value);
  return names;
}

const emptyModule = parseSync('', { syntax: 'typescript' });

function print(item: ModuleItem): string {
  return printSync({ ...emptyModule, body: [item] }).code;
}

if (
  process.argv[1] &&
  import.meta.url === pathToFileURL(process.argv[1]).href &&
  process.argv.includes('--update')
) {
  writeFileSync(snapshotFile, publicApi());
  console.error(`written: ${relative(root, snapshotFile)}`);
}
