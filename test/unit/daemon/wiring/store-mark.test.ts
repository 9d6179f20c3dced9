// The mark of a store's driver, where it can't be written.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { actorLimits } from '../../../../src/actors/bounds.ts';
import { Conditions } from '../../../../src/base/conditions.ts';
import { silentLog } from '../../../../src/base/log.ts';
import { Rechecked } from '../../../../src/daemon/wiring/rechecked.ts';
import { claimForDriver } from '../../../../src/daemon/wiring/storage.ts';
import { storePaths } from '../../../../src/oci/images/store/records/layer-layout.ts';
import { HandClock } from '../../../support/hand-clock.ts';

test('F89 is no debris, is tried again, and no longer reported once it is written', async () => {
  const root = mkdtempSync(join(tmpdir(), 'troupe-mark-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const [clock, conditions] = [new HandClock(), new Conditions(silentLog)];
  const cleared = Promise.withResolvers<void>();
  const rechecked = new Rechecked(clock, conditions);
  rechecked.onGone(() => cleared.resolve());
  onTestFinished(() => rechecked.close());
  const driver = { name: 'vfs', check: async () => undefined } as const;
  const mark = join(root, 'storage-driver');
  // a directory in its place stands for a disk that can't be written
  mkdirSync(mark);
  await claimForDriver({ paths: storePaths(root), driver }, { clock, rechecked });
  expect(conditions.all()).toEqual([
    {
      type: 'PartsStarted',
      subject: `mark of the image store ${mark}`,
      reason: expect.stringContaining('EISDIR') as string,
    },
  ]);
  rmSync(mark, { recursive: true });
  await clock.advance(actorLimits.debrisMs);
  await cleared.promise;
  expect([readFileSync(mark, 'utf8'), conditions.all()]).toEqual(['vfs\n', []]);
});
