/** What a probe found is believed for the very program that was probed, and for nothing else. */
import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Handler, ProbeResult } from '../../../../../src/oci/runtime/handlers/handlers.ts';
import {
  keepProbe,
  parseProbe,
  programMark,
  recallProbe,
} from '../../../../../src/oci/runtime/handlers/probe-records.ts';

const found: ProbeResult = {
  ready: true,
  reason: '',
  recursiveReadOnlyMounts: true,
  userNamespaces: false,
  execCgroup: true,
  ownSandbox: false,
  knownState: false,
  shortSeccomp: true,
  version: 'runc version 1.4.3',
  features: ['cgroup v2', 'seccomp'],
};

let directory: string;
let handler: Handler;
let library: string;
const recalled = async (of = handler) => (await recallProbe(directory, of))?.result;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'troupe-probe-'));
  handler = { name: 'runc', path: join(directory, 'runc'), kind: 'oci', root: join(directory, 'root') };
  writeFileSync(handler.path, '#!/bin/sh\n', { mode: 0o755 });
  library = join(directory, 'libseccomp.so.2');
  writeFileSync(library, '');
});
afterEach(() => rmSync(directory, { recursive: true }));

async function keep(result: ProbeResult): Promise<void> {
  const mark = await programMark(handler, [library]);
  if (mark === undefined) throw new Error('there is a program');
  await keepProbe(directory, handler, { mark, files: [library], result });
}

test('a result is reused by the next start with the same program', async () => {
  expect(await recalled()).toBeUndefined();
  await keep(found);
  expect(await recalled()).toEqual(found);
  expect(await recalled({ ...handler, name: 'crun' })).toBeUndefined();
});

test('a replaced program is probed', async () => {
  await keep(found);
  writeFileSync(join(directory, 'new'), '#!/bin/sh\n', { mode: 0o755 });
  renameSync(join(directory, 'new'), handler.path);
  expect(await recalled()).toBeUndefined();
});

test('a program that is missing or has changed its mode is probed', async () => {
  await keep(found);
  chmodSync(handler.path, 0o700);
  expect(await recalled()).toBeUndefined();
  rmSync(handler.path);
  expect(await recalled()).toBeUndefined();
});

test('a program whose library was replaced or is missing is probed', async () => {
  await keep(found);
  writeFileSync(join(directory, 'new'), '');
  renameSync(join(directory, 'new'), library);
  expect(await recalled()).toBeUndefined();
  await keep(found);
  expect(await recalled()).toEqual(found);
  rmSync(library);
  expect(await recalled()).toBeUndefined();
});

test('a failure is not recorded', async () => {
  await keep({ ...found, ready: false, reason: 'it hangs' });
  expect(await recalled()).toBeUndefined();
});

test('a result whose stand-in is missing does not count', async () => {
  const standIn = join(directory, 'stand-in');
  writeFileSync(standIn, '', { mode: 0o755 });
  await keep({ ...found, standIn });
  expect(await recalled()).toEqual({ ...found, standIn });
  rmSync(standIn);
  expect(await recalled()).toBeUndefined();
});

test.each([
  ['a result of another version', { version: 4, mark: 'm', files: [], result: found }],
  ['a result without its mark', { version: 5, files: [], result: found }],
  [
    'a result that lacks a field',
    { version: 5, mark: 'm', files: [], result: { ready: true, userNamespaces: true, execCgroup: true } },
  ],
  [
    'a result that does not say whether each container has a sandbox, as earlier releases wrote it,',
    { version: 5, mark: 'm', files: [], result: { ...found, ownSandbox: undefined } },
  ],
  [
    'a result that does not say whether the seccomp profile may be short, as earlier releases wrote it,',
    { version: 5, mark: 'm', files: [], result: { ...found, shortSeccomp: undefined } },
  ],
  [
    'a result with a field of another type',
    { version: 5, mark: 'm', files: [], result: { ...found, execCgroup: 'yes' } },
  ],
  [
    'a result without version and features, as earlier releases wrote it,',
    { version: 5, mark: 'm', files: [], result: { ...found, version: undefined, features: undefined } },
  ],
  [
    'a result with a feature of another type',
    { version: 5, mark: 'm', files: [], result: { ...found, features: [1] } },
  ],
  ['a result without the files of libraries', { version: 5, mark: 'm', result: found }],
  [
    'a result with a reason of another type',
    { version: 5, mark: 'm', files: [], result: { ...found, whyNotShort: 1 } },
  ],
  ['no result', { version: 5, mark: 'm', files: [] }],
  ['a number', 1],
  ['null', null],
])('%s is not used', (_what, record) => {
  const valid = { mark: 'm', files: [], result: found };
  expect(parseProbe(JSON.stringify({ version: 5, ...valid }))).toEqual(valid);
  expect(parseProbe(JSON.stringify(record))).toBeUndefined();
});

test('a damaged file is not used', async () => {
  await keep(found);
  writeFileSync(join(directory, 'runc.probe'), '{"version":4,');
  expect(await recalled()).toBeUndefined();
});
