// Images of an additional store that is late: listed once it can be read.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { JournalRecord } from '../../../../src/ports/journal.ts';
import { ledgerFold } from '../../../../src/actors/ledger/ledger.ts';
import { Conditions } from '../../../../src/base/conditions.ts';
import { actorLimits } from '../../../../src/actors/bounds.ts';
import { silentLog } from '../../../../src/base/log.ts';
import { adoptImages } from '../../../../src/daemon/wiring/other-images.ts';
import { Rechecked } from '../../../../src/daemon/wiring/rechecked.ts';
import { isUsable, whenUsable } from '../../../../src/daemon/wiring/storage.ts';
import { realClock } from '../../../../src/host/clock/clock.ts';
import { openDisk } from '../../../../src/journal/disk.ts';
import { openJournal } from '../../../../src/journal/journal.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { imageRecord } from '../../actors/fixtures.ts';

test('F45 F89 the images of a store are adopted when its check succeeds, without names that our images have', async () => {
  const store = mkdtempSync(join(tmpdir(), 'troupe-adopted-'));
  onTestFinished(() => rmSync(store, { recursive: true }));
  mkdirSync(join(store, 'journal'));
  const [ours, theirs] = [imageRecord(), { ...imageRecord(), id: `sha256:${'f'.repeat(64)}` as never }];
  const disk = await openDisk(join(store, 'journal'));
  const journal = await openJournal({ disk, fold: ledgerFold, log: silentLog, clock: realClock() });
  await journal.journal.append([{ type: 'image.present', image: theirs }], { sync: true });
  await journal.close();

  const clock = new HandClock();
  const conditions = new Conditions(silentLog);
  const rechecked = new Rechecked(clock, conditions);
  onTestFinished(() => rechecked.close());
  const appended: JournalRecord[] = [];
  const ports = {
    clock: realClock(),
    log: silentLog,
    journal: {
      append: (records: readonly JournalRecord[]) => Promise.resolve(void appended.push(...records)),
    },
    storage: {
      observe: () => Promise.resolve({ layers: ours.layers.map(({ diffId }) => diffId), rootfs: [] }),
    },
  } as never;
  let answer = Promise.reject<undefined>(new Error('ESTALE'));
  rechecked.report({ type: 'PartsStarted', subject: `image store ${store}`, reason: 'late' }, () => answer);
  const adoptions: Promise<void>[] = [];
  whenUsable(['/other', store], rechecked, (root) => {
    expect(isUsable(root, rechecked)).toBe(true);
    adoptions.push(adoptImages([root], ports, () => [ours]));
  });
  await clock.advance(actorLimits.debrisMs);
  expect([isUsable(store, rechecked), adoptions]).toEqual([false, []]);
  answer = Promise.resolve(undefined);
  await clock.advance(actorLimits.debrisMs);
  await Promise.all(adoptions);
  expect(appended).toEqual([
    { type: 'image.present', image: expect.objectContaining({ id: theirs.id, repoTags: [] }) as unknown },
  ]);
});
