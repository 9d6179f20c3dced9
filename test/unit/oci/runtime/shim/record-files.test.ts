// Records of ours in the state directory, in whose places something else may lie: none of it holds a start or ends it.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createLayout } from '../../../../../src/host/sandbox/layout.ts';
import {
  readHandlerRecords,
  writeHandlerRecords,
} from '../../../../../src/oci/runtime/container/handler-records.ts';
import { recallProbe } from '../../../../../src/oci/runtime/handlers/probe-records.ts';
import { readShimRecord } from '../../../../../src/oci/runtime/shim/record.ts';
import { sandboxId } from '../../../actors/fixtures.ts';

test('F89 F32: a FIFO or a directory in the place of a record counts as absent', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-own-records-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const layout = createLayout({ root: directory, state: directory });
  const id = sandboxId();
  mkdirSync(layout.sandboxDir(id), { recursive: true });
  mkdirSync(join(layout.handlersDir, 'directory.json'), { recursive: true });
  execFileSync('mkfifo', [
    join(layout.handlersDir, 'fifo.json'),
    join(layout.handlersDir, 'runc.probe'),
    join(layout.sandboxDir(id), 'shim.json'),
  ]);
  expect(await readHandlerRecords(layout.handlersDir, () => undefined)).toEqual([]);
  const handler = { name: 'runc', path: '/bin/true', kind: 'oci' } as Parameters<typeof recallProbe>[1];
  expect(await recallProbe(layout.handlersDir, handler)).toBeUndefined();
  expect(await readShimRecord(layout, id)).toBeUndefined();
});

test('F89: one record of a handler that can not be read costs no other', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-own-records-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const kata = { name: 'kata', path: '/opt/kata/bin/shim', kind: 'vm' } as const;
  await writeHandlerRecords(directory, [kata]);
  // sorted before and behind it
  for (const name of ['a.json', 'z.json']) symlinkSync(name, join(directory, name));
  const unread: string[] = [];
  expect(await readHandlerRecords(directory, (file) => unread.push(file))).toMatchObject([kata]);
  expect(unread.toSorted()).toEqual(['a.json', 'z.json']);
});
