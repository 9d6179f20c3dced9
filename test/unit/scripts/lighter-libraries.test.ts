// The bundle's changed libraries: descriptors are what the protobuf library itself makes of the generated code.
import type { DescEnum, DescField, DescMessage, DescService } from '@bufbuild/protobuf';
import { build } from 'esbuild';
import { globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { lighterLibraries } from '../../../scripts/support/lighter-libraries.ts';
import { checkout } from '../../support/tools/cache.ts';

const directory = mkdtempSync(join(tmpdir(), 'lighter-'));
afterAll(() => rmSync(directory, { recursive: true }));

const reader = join(checkout, 'src/host/tuning/proto-file.ts');
const generated = globSync('src/gen/**/*.ts', { cwd: checkout }).toSorted();

type Desc = DescMessage | DescEnum | DescService;
type Part = Record<string, unknown>;

/** Everything that generated code and the library's own files export, by file and name. */
async function descriptors(name: string, isLighter: boolean): Promise<Map<string, Desc>> {
  const files = [...generated.map((path) => `./${path}`), '@bufbuild/protobuf/wkt'];
  const outfile = join(directory, `${name}.mjs`);
  await build({
    stdin: {
      contents: files.map((file, at) => `export * as file${at} from ${JSON.stringify(file)};`).join('\n'),
      resolveDir: checkout,
    },
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    ...(isLighter ? { plugins: [lighterLibraries(reader)] } : {}),
  });
  const all = new Map<string, Desc>();
  for (const [file, module] of Object.entries((await import(pathToFileURL(outfile).href)) as object))
    for (const [exported, value] of Object.entries(module as Record<string, Partial<Desc>>))
      if (['message', 'enum', 'service'].includes(value.kind ?? ''))
        all.set(`${file} ${exported}`, value as Desc);
  return all;
}

/** All that the library asks of a descriptor, with other descriptors by their names. */
function plain(desc: Desc): unknown {
  const common = {
    text: desc.toString(),
    name: desc.name,
    typeName: desc.typeName,
    deprecated: desc.deprecated,
    file: [desc.file.name, desc.file.edition, desc.file.dependencies.map(String), desc.file.proto.package],
  };
  if (desc.kind === 'enum')
    return {
      ...common,
      open: desc.open,
      sharedPrefix: desc.sharedPrefix,
      values: desc.values.map(({ name, localName, number }) => [name, localName, number]),
    };
  if (desc.kind === 'service')
    return {
      ...common,
      methods: desc.methods.map(({ name, localName, methodKind, input, output, idempotency }) => [
        [name, localName, methodKind, idempotency],
        [input.typeName, output.typeName],
      ]),
    };
  return {
    ...common,
    parent: desc.parent?.typeName,
    fields: desc.fields.map(plainField),
    byName: Object.entries(desc.field).map(([name, { number }]) => [name, number]),
    oneofs: desc.oneofs.map((oneof) => [oneof.name, oneof.localName, oneof.fields.map(String)]),
    members: desc.members.map(String),
    nested: [...desc.nestedEnums, ...desc.nestedMessages, ...desc.nestedExtensions].map(String),
  };
}

function plainField(field: DescField): Part {
  const { parent, message, enum: enumeration, oneof } = field;
  return {
    ...field,
    proto: undefined,
    toString: String(field),
    parent: parent.typeName,
    message: message?.typeName,
    enum: enumeration?.typeName,
    oneof: oneof?.name,
    getDefaultValue: 'getDefaultValue' in field ? field.getDefaultValue?.() : undefined,
  };
}

test('descriptors of the bundle are those of the library', async () => {
  const [ours, library] = await Promise.all([descriptors('ours', true), descriptors('library', false)]);
  expect([...ours.keys()]).toEqual([...library.keys()]);
  expect(ours.size).toBeGreaterThan(300);
  for (const [name, desc] of ours) {
    const other = library.get(name);
    expect(plain(desc), name).toEqual(other === undefined ? undefined : plain(other));
  }
});

test('an update of a library that changes these lines ends the build', async () => {
  const entry = join(directory, 'node_modules/pino/pino.js');
  mkdirSync(dirname(entry), { recursive: true });
  writeFileSync(entry, 'module.exports = () => normalize(this, callerOf(), {});');
  const built = build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    logLevel: 'silent',
    plugins: [lighterLibraries(reader)],
  });
  await expect(built).rejects.toThrow('these lines are expected once');
});
