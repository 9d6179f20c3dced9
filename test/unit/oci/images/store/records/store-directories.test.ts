// What lies in the place of the store's directories keeps no pull and no start.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Conditions } from '../../../../../../src/base/conditions.ts';
import { hostLimits } from '../../../../../../src/host/bounds.ts';
import { silentLog } from '../../../../../../src/base/log.ts';
import { storePaths } from '../../../../../../src/oci/images/store/records/layer-layout.ts';
import { storeDirectories } from '../../../../../../src/oci/images/store/records/store-directories.ts';
import type { StoreDirectories } from '../../../../../../src/oci/images/store/records/store-directories.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'troupe-store-directories-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function bench(): { directories: StoreDirectories; conditions: Conditions; aside: string } {
  const conditions = new Conditions(silentLog);
  const paths = storePaths(root);
  const directories = storeDirectories(
    paths,
    (call) => call(),
    (call) => call(),
    (moved) => conditions.report(moved),
  );
  writeFileSync(paths.layers, 'a file');
  return { directories, conditions, aside: `${paths.layers}.not-a-directory` };
}

test('F89 a file in the place of a directory is moved aside, also where the new name is a directory', async () => {
  const { directories, conditions, aside } = bench();
  mkdirSync(join(aside, 'below'), { recursive: true });
  await directories.ofImages();
  expect(statSync(storePaths(root).layers).isDirectory()).toBe(true);
  expect(readFileSync(`${aside}.1`, 'utf8')).toBe('a file');
  expect(existsSync(join(aside, 'below'))).toBe(true);
  expect(conditions.all().map(({ subject }) => subject)).toEqual([`${aside}.1`]);
});

test('F89 nothing is moved or deleted when all new names are taken', async () => {
  const { directories, aside } = bench();
  for (let number = 0; number < hostLimits.movedAside; number += 1)
    writeFileSync(number === 0 ? aside : `${aside}.${number}`, String(number));
  await expect(directories.ofImages()).rejects.toMatchObject({
    fault: { kind: 'exhausted', subject: aside },
  });
  expect([readFileSync(aside, 'utf8'), readFileSync(storePaths(root).layers, 'utf8')]).toEqual([
    '0',
    'a file',
  ]);
});
