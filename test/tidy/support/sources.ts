// The files of the checkout as the rules see them: parsed once per process.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { parseSync } from 'oxc-parser';

export const checkout = join(import.meta.dirname, '../../..');

/** A node of the ESTree that oxc-parser gives, as far as the rules need it. */
export interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

export interface Import {
  /** As written. */
  readonly specifier: string;
  /** Path from the checkout for a relative one. */
  readonly file: string | undefined;
  readonly names: readonly string[];
  readonly typeOnly: boolean;
}

export interface Source {
  /** Path from the checkout. */
  readonly file: string;
  readonly text: string;
  readonly program: Node;
  readonly imports: readonly Import[];
  readonly comments: readonly { readonly value: string; readonly start: number; readonly end: number }[];
  /** 1 is the first. */
  line(offset: number): number;
}

const SKIPPED = new Set(['node_modules', '.cache', '.git', 'dist', 'coverage']);

/** Every file below a directory of the checkout, sorted; paths from the checkout. */
export function filesBelow(directory: string): readonly string[] {
  return readdirSync(join(checkout, directory), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => normalize(join(entry.parentPath, entry.name)).slice(checkout.length + 1))
    .filter((file) => !file.split('/').some((part) => SKIPPED.has(part)))
    .toSorted();
}

/** The text of a file of the checkout. */
export function textOf(file: string): string {
  return readFileSync(join(checkout, file), 'utf8');
}

const parsed = new Map<string, Source>();

/** One TypeScript file of the checkout, parsed. Throws when it is not TypeScript. */
export function sourceOf(file: string): Source {
  const known = parsed.get(file);
  if (known !== undefined) return known;
  const source = parsedSource(file, textOf(file));
  parsed.set(file, source);
  return source;
}

/** The same for a text that is not a file of the checkout. */
export function parsedSource(file: string, text: string): Source {
  const result = parseSync(file, text);
  const [first] = result.errors;
  if (first !== undefined) throw new Error(`${file}: ${first.message}`);
  return {
    file,
    text,
    program: result.program as unknown as Node,
    imports: result.module.staticImports.concat().map((one) => ({
      specifier: one.moduleRequest.value,
      file: resolved(file, one.moduleRequest.value),
      names: one.entries.map((entry) => entry.importName.name ?? entry.importName.kind),
      typeOnly: one.entries.length > 0 && one.entries.every((entry) => entry.isType),
    })),
    comments: result.comments,
    line: (offset) => text.slice(0, offset).split('\n').length,
  };
}

function resolved(from: string, specifier: string): string | undefined {
  return specifier.startsWith('.') ? normalize(join(dirname(from), specifier)) : undefined;
}

/** All TypeScript files below a directory, generated ones left out. */
export function sourcesBelow(directory: string): readonly Source[] {
  return filesBelow(directory)
    .filter((file) => file.endsWith('.ts') && !file.startsWith('src/gen/'))
    .map(sourceOf);
}

function isNode(value: unknown): value is Node {
  return (
    typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string'
  );
}

/**
 * Calls `visit` for each node, outermost first, with the nodes around it, innermost last. That list changes with the
 * walk: copy it to keep it.
 */
export function walk(
  node: Node,
  visit: (node: Node, around: readonly Node[]) => void,
  around: Node[] = [],
): void {
  visit(node, around);
  around.push(node);
  for (const key in node) {
    const value = node[key];
    if (Array.isArray(value)) {
      for (const child of value as unknown[]) if (isNode(child)) walk(child, visit, around);
    } else if (isNode(value)) walk(value, visit, around);
  }
  around.pop();
}

/** `file:line` of each node that matches, for messages. */
export function places(
  sources: readonly Source[],
  matches: (node: Node, around: readonly Node[]) => boolean,
): readonly string[] {
  return sources.flatMap((source) => {
    const found: string[] = [];
    walk(source.program, (node, around) => {
      if (matches(node, around)) found.push(`${source.file}:${source.line(node.start)}`);
    });
    return found;
  });
}

/** The dotted name of an identifier or member expression (`fx.signal`), or empty. */
export function dotted(node: unknown): string {
  if (!isNode(node)) return '';
  if (node.type === 'Identifier') return String(node['name']);
  if (node.type === 'ThisExpression') return 'this';
  if (node.type !== 'MemberExpression' || node['computed'] === true) return '';
  const object = dotted(node['object']);
  return object === '' ? '' : `${object}.${String((node['property'] as Node)['name'])}`;
}
