// Who may import whom (docs/architecture.md, "Rooms"), and that no file imports itself by a detour.
import { describe, expect, it } from 'vitest';
import type { Source } from './support/sources.ts';
import { sourcesBelow } from './support/sources.ts';

/** Room → the directories of src/ that its files may import beside their own. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  'actors/ports': ['base'],
  actors: ['base', 'actors/ports'],
  cri: ['base', 'actors', 'gen'],
  introspection: ['base', 'actors', 'gen'],
  journal: ['base', 'actors/ports', 'gen'],
  host: ['base', 'actors/ports', 'gen'],
  oci: ['base', 'actors/ports', 'host', 'gen'],
  network: ['base', 'actors/ports', 'host'],
  nri: ['base', 'actors/ports', 'host', 'oci', 'gen'],
  daemon: ['base', 'actors', 'cri', 'introspection', 'journal', 'host', 'oci', 'network', 'nri', 'gen'],
  gen: [],
};

/** Room → packages that it may import. Everything else is `node:*` (lint says where) or our own. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  base: [],
  'actors/ports': [],
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

function roomOf(file: string): string {
  const [, first = '', second = ''] = file.split('/');
  return first === 'actors' && second === 'ports' ? 'actors/ports' : first;
}

/** `actors` stands for its ports, too. */
function mayImport(from: string, to: string): boolean {
  if (from === to) return true;
  const allowed = ARROWS[from] ?? [];
  return allowed.includes(to) || (to === 'actors/ports' && allowed.includes('actors'));
}

const sources = sourcesBelow('src');

describe('arrows', () => {
  it('knows every room', () => {
    const rooms = new Set(sources.map((source) => roomOf(source.file)));
    expect([...rooms].filter((room) => ARROWS[room] === undefined)).toEqual([]);
  });

  it('go only where they may', () => {
    const wrong = sources.flatMap((source) =>
      source.imports
        .filter(
          ({ file }) =>
            file !== undefined && !(file.startsWith('src/') && mayImport(roomOf(source.file), roomOf(file))),
        )
        .map(({ specifier }) => `${source.file} imports ${specifier}`),
    );
    expect(wrong).toEqual([]);
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

  it('name the file with its ending, in our own code', () => {
    const wrong = sources.flatMap((source) =>
      source.imports
        .filter(({ file }) => file !== undefined && !file.endsWith('.ts'))
        .map(({ specifier }) => `${source.file}: ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });
});

/** Cycles of imports that exist when the program runs; types are gone by then. */
function cycles(all: readonly Source[]): readonly string[] {
  const targets = new Map(
    all.map((source) => [
      source.file,
      source.imports.flatMap(({ file, typeOnly }) => (file === undefined || typeOnly ? [] : [file])),
    ]),
  );
  const finished = new Set<string>();
  const found: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) {
      found.push([...path.slice(path.indexOf(file)), file].join(' → '));
      return;
    }
    if (finished.has(file)) return;
    for (const target of targets.get(file) ?? []) visit(target, [...path, file]);
    finished.add(file);
  };
  for (const file of targets.keys()) visit(file, []);
  return found;
}

it('no file imports itself by a detour', () => {
  expect(cycles(sources)).toEqual([]);
  expect(cycles(sourcesBelow('test'))).toEqual([]);
  expect(cycles(sourcesBelow('scripts'))).toEqual([]);
});
