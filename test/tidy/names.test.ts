// The name of a type or function that a module exports means one thing in the whole of src.
import { describe, expect, it } from 'vitest';
import type { Node, Source } from './support/sources.ts';
import { dotted, parsedSource, sourcesBelow } from './support/sources.ts';

const TYPES: ReadonlySet<string> = new Set([
  'TSInterfaceDeclaration',
  'TSTypeAliasDeclaration',
  'TSEnumDeclaration',
  'ClassDeclaration',
]);

/** Functions whose second one carries out the first, or does the same with another form of its arguments. */
const MIRRORED: ReadonlySet<string> = new Set([
  // an RPC, the command behind it and, for one, the driver's part
  ...[
    'checkpointContainer',
    'createContainer',
    'execSync',
    'removeContainer',
    'startContainer',
    'stopContainer',
  ],
  ...['pullImage', 'removeImage'],
  // a subcommand and the RPC, or the part, that it shows
  ...['exportImage', 'status', 'version'],
  // system calls by name, and the same for names that are byte strings
  ...['chmodAt', 'chownAt', 'linkAt', 'mkdirAt', 'mknodAt', 'rmdirAt', 'setXattrAt', 'symlinkAt', 'unlinkAt'],
  // with the bound of its room, and of each machine
  ...['namesIn', 'abortReason'],
]);

interface Declared {
  readonly name: string;
  readonly isExported: boolean;
  readonly file: string;
  readonly line: number;
}

/** Names in a statement such as `export { A, B as C };`, as the module calls them; re-exports declare nothing. */
function exportedApart(source: Source): ReadonlySet<string> {
  const statements = source.program['body'] as readonly Node[];
  return new Set(
    statements
      .filter((one) => one.type === 'ExportNamedDeclaration' && one['source'] === null)
      .flatMap((one) => one['specifiers'] as readonly Node[])
      .map((one) => String((one['local'] as Node)['name'])),
  );
}

/** The declarations of these kinds at the top level of a module. */
function declaredIn(source: Source, kinds: ReadonlySet<string>): readonly Declared[] {
  const apart = exportedApart(source);
  return (source.program['body'] as readonly Node[]).flatMap((statement) => {
    const isExport = statement.type === 'ExportNamedDeclaration';
    const node = isExport ? (statement['declaration'] as Node | null) : statement;
    if (node === null || !kinds.has(node.type)) return [];
    const name = dotted(node['id']);
    const isExported = isExport || apart.has(name);
    return [{ name, isExported, file: source.file, line: source.line(node.start) }];
  });
}

/** `name: where it is exported; where it is declared again` for each exported name with a second meaning. */
function secondMeanings(sources: readonly Source[]): readonly string[] {
  const byName = Map.groupBy(
    sources.flatMap((source) => declaredIn(source, TYPES)),
    ({ name }) => name,
  );
  return [...byName].flatMap(([name, all]) => {
    const [first] = all.filter((one) => one.isExported);
    const others = all.filter((one) => one.file !== first?.file);
    if (first === undefined || others.length === 0) return [];
    return [`${name}: ${[first, ...others].map(({ file, line }) => `${file}:${line}`).join(', ')}`];
  });
}

/** `name: where` for each function that several modules export. */
function exportedTwice(sources: readonly Source[]): readonly string[] {
  const functions = sources.flatMap((source) => declaredIn(source, new Set(['FunctionDeclaration'])));
  const byName = Map.groupBy(
    functions.filter(({ isExported }) => isExported),
    ({ name }) => name,
  );
  return [...byName].flatMap(([name, all]) =>
    new Set(all.map(({ file }) => file)).size === 1
      ? []
      : [`${name}: ${all.map(({ file, line }) => `${file}:${line}`).join(', ')}`],
  );
}

describe('names of functions', () => {
  const found = exportedTwice(sourcesBelow('src'));
  const nameIn = (entry: string): string => entry.split(':', 1)[0] ?? '';

  it('that a module exports are exported by no other module', () => {
    expect(found.filter((entry) => !MIRRORED.has(nameIn(entry)))).toEqual([]);
  });

  it('are listed as mirrored only if they are', () => {
    const names = new Set(found.map(nameIn));
    expect([...MIRRORED].filter((name) => !names.has(name))).toEqual([]);
  });

  it('are refused when they repeat', () => {
    const sources = ['a.ts', 'b.ts'].map((file) => parsedSource(file, 'export function ends(): void {}'));
    expect(exportedTwice(sources)).toEqual(['ends: a.ts:1, b.ts:1']);
  });
});

describe('names of types', () => {
  it('that a module exports are declared in no other module', () => {
    expect(secondMeanings(sourcesBelow('src'))).toEqual([]);
  });

  const a = 'export interface Held { readonly id: string }';

  it.each([
    ['exported twice', a, 'export type Held = string;'],
    ['exported by a list', a, 'class Held {}\nexport { Held };'],
    ['local in another module', a, 'interface Held { readonly size: number }'],
  ])('are refused when %s', (_what, first, second) => {
    const found = secondMeanings([parsedSource('a.ts', first), parsedSource('b.ts', second)]);
    expect(found).toEqual(['Held: a.ts:1, b.ts:1']);
  });

  it('may repeat among local types, and in re-exports', () => {
    const local = 'interface Entry { readonly id: string }';
    const again = "export type { Held } from './a.ts';\ntype Entry = string;";
    expect(secondMeanings([parsedSource('a.ts', `${a}\n${local}`), parsedSource('b.ts', again)])).toEqual([]);
  });
});
