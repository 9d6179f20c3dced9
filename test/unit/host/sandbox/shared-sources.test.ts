import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createLayout } from '../../../../src/host/sandbox/layout.ts';
import { sourcesOf } from '../../../../src/host/sandbox/sandbox-files.ts';
import { sandboxId } from '../../actors/fixtures.ts';

test('S87: a document has the real files of a pod, not the links to them', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-sources-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const layout = createLayout({ root: directory, state: directory });
  const id = sandboxId();
  const files = layout.sandboxFiles(id);
  mkdirSync(layout.sandboxEtc(id), { recursive: true });
  symlinkSync('etc/hosts', files.hosts);
  // as of a pod that an earlier version made
  writeFileSync(files.hostname, '');
  expect(await sourcesOf(layout, id)).toEqual({ ...files, hosts: join(layout.sandboxEtc(id), 'hosts') });
});
