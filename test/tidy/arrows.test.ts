// Which folder may import which (docs/rooms.md), and that neither files nor folders go in circles. Types are included,
// except in the simulation.
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOMS } from './support/rooms.ts';
import type { Source } from './support/sources.ts';
import { filesBelow, sourcesBelow } from './support/sources.ts';

/** Room → packages that it may import. Everything else is `node:*` (lint says where) or our own. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  base: [],
  ports: [],
  ttrpc: ['@bufbuild/protobuf'],
  actors: ['xstate'],
  cri: ['@bufbuild/protobuf', '@bufbuild/protobuf/wkt', '@grpc/grpc-js'],
  introspection: ['@bufbuild/protobuf', '@connectrpc/connect', '@connectrpc/connect-node', 'xstate'],
  journal: ['@bufbuild/protobuf'],
  host: ['@bufbuild/protobuf', 'koffi'],
  oci: ['smol-toml'],
  network: [],
  nri: ['@bufbuild/protobuf'],
  daemon: ['pino', 'smol-toml', 'xstate'],
};

/** `oci/runtime/exec` of `src/oci/runtime/exec/exec.ts`. A file of bounds is one of its own: it imports nothing. */
const folderOf = (file: string): string =>
  (file.endsWith('/bounds.ts') ? file.slice(0, -'.ts'.length) : dirname(file)).slice('src/'.length);
const roomOf = (file: string): string => folderOf(file).split('/')[0] ?? '';

/** An entry without a slash stands for all folders of a room, except for the folder's own room. */
function mayImport(from: string, to: string): boolean {
  const room = to.split('/')[0] ?? '';
  const allowed = ROOMS.get(from)?.imports ?? [];
  const above = to.endsWith('/bounds') ? to.slice(0, -'bounds'.length) : undefined;
  if (above !== undefined && [from, ...allowed].some((one) => `${one}/`.startsWith(above))) return true;
  return from === to || allowed.includes(to) || (!from.startsWith(`${room}/`) && allowed.includes(room));
}

const sources = sourcesBelow('src');

describe('arrows', () => {
  it('list every folder', () => {
    const folders = new Set(
      filesBelow('src')
        .filter((file) => !file.endsWith('.md'))
        .map(folderOf)
        .filter((folder) => folder !== 'gen' && !folder.endsWith('/bounds')),
    );
    const known = new Set(ROOMS.keys());
    expect([...folders].filter((folder) => !known.has(folder))).toEqual([]);
    expect([...known].filter((folder) => !folders.has(folder))).toEqual([]);
  });

  it('go only where they may', () => {
    const wrong = sources.flatMap((source) =>
      source.imports
        .filter(
          ({ file }) =>
            file !== undefined &&
            !(file.startsWith('src/') && mayImport(folderOf(source.file), folderOf(file))),
        )
        .map(({ specifier }) => `${source.file} imports ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  it('are all used', () => {
    const used = new Set(
      sources.flatMap((source) =>
        source.imports.flatMap(({ file }) =>
          file === undefined
            ? []
            : [`${folderOf(source.file)} ${folderOf(file)}`, `${folderOf(source.file)} ${roomOf(file)}`],
        ),
      ),
    );
    const idle = [...ROOMS].flatMap(([from, { imports }]) =>
      imports.map((to) => `${from} ${to}`).filter((arrow) => !used.has(arrow)),
    );
    expect(idle).toEqual([]);
  });

  it('lead to packages only where they may', () => {
    const wrong = sources.flatMap((source) =>
      source.imports
        .filter(({ file, specifier }) => file === undefined && !specifier.startsWith('node:'))
        .filter(({ specifier }) => !(PACKAGES[roomOf(source.file)] ?? []).includes(specifier))
        .map(({ specifier }) => `${source.file} imports ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  it('name the file with its extension, in our own code', () => {
    const wrong = sources.flatMap((source) =>
      source.imports
        .filter(({ file }) => file !== undefined && !file.endsWith('.ts'))
        .map(({ specifier }) => `${source.file}: ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });
});

/** Paths through `arrows` that end where they began. */
function circles(arrows: ReadonlyMap<string, readonly string[]>): readonly string[] {
  const finished = new Set<string>();
  const found: string[] = [];
  const visit = (name: string, path: readonly string[]): void => {
    if (path.includes(name)) {
      found.push([...path.slice(path.indexOf(name)), name].join(' → '));
      return;
    }
    if (finished.has(name)) return;
    for (const target of arrows.get(name) ?? []) visit(target, [...path, name]);
    finished.add(name);
  };
  for (const name of arrows.keys()) visit(name, []);
  return found;
}

/** The simulated world has its daemons, and they know the world: by their types, not by their code. */
const WORLDS = 'test/sim/';

function importsOf(all: readonly Source[]): ReadonlyMap<string, readonly string[]> {
  const targets = ({ file: from, imports }: Source): readonly string[] =>
    imports.flatMap(({ file, typeOnly }) =>
      file === undefined || (typeOnly && from.startsWith(WORLDS)) ? [] : [file],
    );
  return new Map(all.map((source) => [source.file, targets(source)]));
}

it('no file imports itself indirectly', () => {
  expect(circles(importsOf(sources))).toEqual([]);
  expect(circles(importsOf(sourcesBelow('test')))).toEqual([]);
  expect(circles(importsOf(sourcesBelow('scripts')))).toEqual([]);
});

it('no folder of src imports itself indirectly', () => {
  const arrows = new Map<string, readonly string[]>();
  for (const [file, targets] of importsOf(sources)) {
    const folder = folderOf(file);
    const others = targets.map(folderOf).filter((target) => target !== folder);
    arrows.set(folder, [...new Set([...(arrows.get(folder) ?? []), ...others])]);
  }
  expect(circles(arrows)).toEqual([]);
});
