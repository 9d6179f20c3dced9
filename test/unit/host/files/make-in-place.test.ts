// A file that is mounted in the place of a directory of ours.
import type * as Files from 'node:fs/promises';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, onTestFinished, test, vi } from 'vitest';
import { makeInPlace } from '../../../../src/host/files/make-in-place.ts';
import { faultOf } from '../../../support/fault-of.ts';

// test files share a process: modules loaded before this file keep the real one, those loaded here the mock
vi.hoisted(() => vi.resetModules());
// at once, since nothing runs after a file whose tests are all skipped; and what is loaded later
vi.resetModules();
afterAll(() => vi.resetModules());

vi.mock('node:fs/promises', async (original) => ({
  ...(await original<typeof Files>()),
  // as rename(2) of a mount point
  rename: async () => {
    throw Object.assign(new Error('EBUSY: resource busy or locked, rename'), { code: 'EBUSY' });
  },
}));

test('F89: a mounted file is named, and stays as it is', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-in-place-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'exits');
  writeFileSync(path, 'mounted');
  expect(await faultOf(makeInPlace(path, 0o700))).toMatchObject({
    kind: 'wrongState',
    message: `move aside ${path}: a file is mounted on it; unmount it (findmnt ${path} has its source)`,
    subject: path,
  });
  expect(readdirSync(directory)).toEqual(['exits']);
});
