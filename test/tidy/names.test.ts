// The name of a type that a module exports means one thing in the whole of src.
import { describe, expect, it } from 'vitest';
import type { Node, Source } from './support/sources.ts';
import { dotted, parsedSource, sourcesBelow } from './support/sources.ts';

const TYPES: ReadonlySet<string> = new Set([
  'TSInterfaceDeclaration',
  'TSTypeAliasDeclaration',
  'TSEnumDeclaration',
  'ClassDeclaration',
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

/** The types that a module declares at its top level. */
function typesOf(source: Source): readonly Declared[] {
  const apart = exportedApart(source);
  return (source.program['body'] as readonly Node[]).flatMap((statement) => {
    const isExport = statement.type === 'ExportNamedDeclaration';
    const node = isExport ? (statement['declaration'] as Node | null) : statement;
    if (node === null || !TYPES.has(node.type)) return [];
    const name = dotted(node['id']);
    const isExported = isExport || apart.has(name);
    return [{ name, isExported, file: source.file, line: source.line(node.start) }];
  });
}

/** `name: where it is exported; where it is declared again` for each exported name with a second meaning. */
function secondMeanings(sources: readonly Source[]): readonly string[] {
  const byName = Map.groupBy(sources.flatMap(typesOf), ({ name }) => name);
  return [...byName].flatMap(([name, all]) => {
    const [first] = all.filter((one) => one.isExported);
    const others = all.filter((one) => one.file !== first?.file);
    if (first === undefined || others.length === 0) return [];
    return [`${name}: ${[first, ...others].map(({ file, line }) => `${file}:${line}`).join(', ')}`];
  });
}

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
