import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { hostLimits } from '../../../../src/host/bounds.ts';
import { removeFile } from '../../../../src/host/files/state-files.ts';
import { removeDirectory } from '../../../../src/host/files/remove-tree.ts';

const places: string[] = [];
afterAll(() => {
  for (const path of places) rmSync(path, { recursive: true, force: true });
});

function place(): string {
  const path = mkdtempSync(join(tmpdir(), 'troupe-remove-'));
  places.push(path);
  return path;
}

test('a directory is deleted with more files than one batch, and with directories below', async () => {
  const tree = join(place(), 'tree');
  mkdirSync(join(tree, 'a/b'), { recursive: true });
  for (let index = 0; index < hostLimits.removedAtOnce * 2 + 1; index += 1)
    writeFileSync(join(tree, `file-${index}`), '');
  writeFileSync(join(tree, 'a/b/c'), '');
  await removeDirectory(tree);
  expect(existsSync(tree)).toBe(false);
});

test('links are deleted, not followed', async () => {
  const root = place();
  mkdirSync(join(root, 'elsewhere'));
  writeFileSync(join(root, 'elsewhere/kept'), 'kept');
  mkdirSync(join(root, 'tree'));
  symlinkSync(join(root, 'elsewhere'), join(root, 'tree/link'));
  await removeDirectory(join(root, 'tree'));
  expect(readFileSync(join(root, 'elsewhere/kept'), 'utf8')).toBe('kept');
});

test('a missing path counts as deleted; F89: directories of a log are deleted, however many a client has named', async () => {
  const root = place();
  await expect(removeDirectory(join(root, 'none'))).resolves.toBeUndefined();
  await expect(removeFile(join(root, 'none'))).resolves.toBeUndefined();
  mkdirSync(join(root, ...Array.from({ length: 1000 }, () => 'd')), { recursive: true });
  await removeDirectory(root);
  expect(existsSync(root)).toBe(false);
});
