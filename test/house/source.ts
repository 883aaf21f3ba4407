/** What the house tests know of a source file: whom it imports and which globals it touches, read from its syntax tree. */
import { readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from '@swc/core';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export interface SourceFile {
  /** From the checkout's root, with forward slashes. */
  path: string;
  /** Each once: a path from the root for a relative import, else the specifier as it stands. */
  imports: string[];
  /** Dotted names of globals that are read: `process.env`, `Date.now`; a bare `new Date()` is `new Date`. */
  globals: Set<string>;
}

export function readSources(folders: readonly string[]): SourceFile[] {
  return folders.flatMap(filesOf).map((path) => readSource(path, readFileSync(`${root}/${path}`, 'utf8')));
}

function filesOf(folder: string): string[] {
  try {
    return readdirSync(`${root}/${folder}`, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => posix.join(folder, name.replaceAll('\\', '/')))
      .sort();
  } catch {
    return [];
  }
}

export function readSource(path: string, text: string): SourceFile {
  const found = { specifiers: new Set<string>(), globals: new Set<string>() };
  visit(parseSync(text, { syntax: 'typescript', target: 'es2022' }), found);
  const imports = [...found.specifiers].map((specifier) =>
    specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : specifier,
  );
  return { path, imports, globals: found.globals };
}

interface Node {
  type?: string;
  [key: string]: unknown;
}

interface Found {
  specifiers: Set<string>;
  globals: Set<string>;
}

function visit(value: unknown, found: Found): void {
  if (Array.isArray(value)) for (const item of value) visit(item, found);
  else if (value && typeof value === 'object') look(value as Node, found);
}

function look(node: Node, found: Found): void {
  const specifier = specifierOf(node);
  if (specifier !== undefined) found.specifiers.add(specifier);
  const name = globalOf(node);
  if (name) found.globals.add(name);
  for (const [key, child] of Object.entries(node)) if (key !== 'span') visit(child, found);
}

/** Of `import`, `export … from`, `import()` and `import('x').T`. */
function specifierOf(node: Node): string | undefined {
  switch (node.type) {
    case 'ImportDeclaration':
    case 'ExportAllDeclaration':
    case 'ExportNamedDeclaration':
      return stringOf(node.source);
    case 'TsImportType':
      return stringOf(node.argument);
    case 'CallExpression':
      return (node.callee as Node).type === 'Import' ? stringOf(firstArgument(node)) : undefined;
    default:
      return undefined;
  }
}

function firstArgument(node: Node): unknown {
  return (node.arguments as { expression?: unknown }[])[0]?.expression;
}

function stringOf(node: unknown): string | undefined {
  const literal = node as Node | null | undefined;
  return literal?.type === 'StringLiteral' ? (literal.value as string) : undefined;
}

function globalOf(node: Node): string | undefined {
  if (node.type === 'NewExpression' && nameOf(node.callee) === 'Date') {
    return (node.arguments as unknown[] | undefined)?.length ? undefined : 'new Date';
  }
  if (node.type === 'CallExpression') return nameOf(node.callee);
  if (node.type === 'MemberExpression') return memberOf(node);
  return undefined;
}

/** `globalThis.process.env` is `process.env`. */
function memberOf(node: Node): string | undefined {
  const object = node.object as Node;
  const owner =
    object.type === 'MemberExpression' ? memberOf(object)?.replace('globalThis.', '') : nameOf(object);
  const property = nameOf(node.property);
  return owner && property && `${owner}.${property}`;
}

function nameOf(node: unknown): string | undefined {
  const identifier = node as Node | undefined;
  return identifier?.type === 'Identifier' ? (identifier.value as string) : undefined;
}
