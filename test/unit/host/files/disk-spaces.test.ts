import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { hostLimits } from '../../../../src/host/bounds.ts';
import { DiskSpaces } from '../../../../src/host/files/disk-spaces.ts';

let directory = '';
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'troupe-spaces-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

test('directories of one file system are one disk; one that does not exist is left out', async () => {
  let now = 0;
  const spaces = new DiskSpaces(
    [
      { path: directory, holds: 'pods' },
      { path: join(directory, 'absent'), holds: 'images' },
      { path: directory, holds: 'state' },
    ],
    { monoMs: () => now },
  );
  await spaces.read();
  const [disk, ...more] = spaces.figures();
  expect(more).toEqual([]);
  expect(disk).toMatchObject({ path: directory, holds: ['pods', 'state'] });
  expect(disk?.totalBytes).toBeGreaterThan(0);
  expect(disk?.freeBytes).toBeLessThanOrEqual(disk?.totalBytes ?? 0);
  expect(disk?.reserveBytes).toBeLessThanOrEqual(hostLimits.leastFreeBytes);
  await rm(directory, { recursive: true });
  now = hostLimits.diskFiguresMs;
  // the last figures are kept until the new ones are read
  const renewed = spaces.renew();
  expect(spaces.figures()).toHaveLength(1);
  await renewed;
  expect(spaces.figures()).toEqual([]);
});
