// A FIFO in the place of a file of ours holds no start: whoever opened it to read or write would wait for its other end
// for ever (F89).
import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseDigest } from '../../../../src/base/ids.ts';
import type { Digest } from '../../../../src/base/ids.ts';
import { openDisk } from '../../../../src/journal/disk.ts';
import { createLayout } from '../../../../src/host/sandbox/layout.ts';
import { writeWhole } from '../../../../src/host/files/whole-file.ts';
import { begun } from '../../../../src/oci/runtime/checkpoint/work.ts';
import { readBundleConfig } from '../../../../src/oci/runtime/container/exec-process.ts';
import { readHandlerRecords } from '../../../../src/oci/runtime/container/handler-records.ts';
import { recallProbe } from '../../../../src/oci/runtime/handlers/probe-records.ts';
import { readShimRecord } from '../../../../src/oci/runtime/shim/record.ts';
import { writeStdioProgram } from '../../../../src/oci/runtime/shim/stdio-program.ts';
import { readMountNote } from '../../../../src/oci/images/store/drivers/fuse-files.ts';
import { readLayerRecord } from '../../../../src/oci/images/store/records/layer-record.ts';
import { EVENT_MS } from '../../../support/patience.ts';
import { sandboxId } from '../../actors/fixtures.ts';

let root = '';

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'troupe-fifo-'));
});

afterAll(() => rmSync(root, { recursive: true }));

/** Makes one, with the directories that it is in. */
function fifo(...names: readonly string[]): string {
  const path = join(root, ...names);
  mkdirSync(dirname(path), { recursive: true });
  execFileSync('mkfifo', [path]);
  return path;
}

/** What a read of it gives within the test's own time; a blocked one never settles. */
const READERS: Readonly<Record<string, () => Promise<unknown>>> = {
  'a layer’s record': () =>
    readLayerRecord(
      dirname(fifo('layer/layer.json')),
      parseDigest(`sha256:${'a'.repeat(64)}`) as Digest,
      (call) => call(),
    ),
  'the record of a handler': async () =>
    (await readHandlerRecords(dirname(fifo('handlers/runc.json')), () => undefined))[0],
  'a kept probe': () =>
    recallProbe(dirname(fifo('probes/runc.probe')), {
      name: 'runc',
      kind: 'oci',
      path: '/bin/sh',
      root: '/run/x',
    }),
  'the note of a checkpoint': async () =>
    (
      await begun(dirname(dirname(fifo('checkpoints/x/note.json'))), (_name, error) => {
        throw error;
      })
    )[0],
  'the record of a shim': () => {
    const id = sandboxId();
    fifo('state/sandboxes', id, 'shim.json');
    return readShimRecord(createLayout({ root, state: join(root, 'state') }), id);
  },
  'the note of a program that mounts': async () => {
    fifo('container/helpers/rootfs.json');
    return readMountNote(join(root, 'container') as Parameters<typeof readMountNote>[0], 'rootfs');
  },
};

test.each(Object.keys(READERS))(
  'F89 %s that is a FIFO counts as absent',
  async (name) => {
    expect(await READERS[name]?.()).toBe(undefined);
  },
  EVENT_MS,
);

test(
  'F89 a FIFO in the place of the journal, or of a bundle’s document, is an error',
  async () => {
    fifo('journal/journal.7');
    const disk = await openDisk(join(root, 'journal'));
    await expect(disk.read('journal.7')).rejects.toThrow('not a regular file');
    await expect(disk.openAt('journal.7', 0)).rejects.toThrow('ENXIO');
    await expect(readBundleConfig(fifo('bundle/config.json'), 'x')).rejects.toThrow('bundle not found');
  },
  EVENT_MS,
);

test(
  'F89 our file replaces a FIFO; a FIFO in the place of its temporary file is an error',
  async () => {
    const path = fifo('whole/file');
    await writeWhole(path, 'text', 0o600);
    expect(lstatSync(path).isFile()).toBe(true);
    fifo('whole/file.new');
    await expect(writeWhole(path, 'text', 0o600)).rejects.toThrow('ENXIO');
    await writeStdioProgram(dirname(fifo('programs/shim-stdio')));
    expect(lstatSync(join(root, 'programs/shim-stdio')).isFile()).toBe(true);
  },
  EVENT_MS,
);
