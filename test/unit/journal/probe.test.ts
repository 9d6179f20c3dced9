/** A probe of the journal: it writes nothing, and shows which call of the disk hangs. */
import { expect, it } from 'vitest';
import { turns } from '../../support/turns.ts';
import { recordNumber, Rig } from './support.ts';

it('waits for what was appended before, and adds no byte', async () => {
  const rig = new Rig();
  const opened = await rig.open();
  await opened.journal.append([recordNumber(0)], { sync: true });
  const before = rig.model.usedBytes();
  await opened.probe();
  expect([rig.model.usedBytes(), opened.diskCall]).toEqual([before, undefined]);
});

it('names the disk’s call that hangs', async () => {
  const rig = new Rig();
  const opened = await rig.open();
  rig.trouble = (_at, operation) => (operation === 'sync' ? 'dieBefore' : undefined);
  let isAnswered = false;
  void opened.probe().then(() => (isAnswered = true));
  await turns();
  expect([isAnswered, opened.diskCall]).toEqual([false, { name: 'fdatasync', sinceMonoMs: 0 }]);
});

it('is not answered while a disk refuses to take a record back, which counts as the disk’s', async () => {
  const rig = new Rig();
  const opened = await rig.open();
  rig.trouble = () => 'EIO';
  let isAnswered = false;
  const noteAnswer = (): void => void (isAnswered = true);
  void opened.probe().then(noteAnswer, noteAnswer);
  await turns();
  // no call is under way in the pause before the next try
  expect([isAnswered, opened.diskCall]).toEqual([false, { name: 'a write that it refused', sinceMonoMs: 0 }]);
  rig.trouble = () => undefined;
  await opened.close();
  expect([isAnswered, opened.diskCall]).toEqual([true, undefined]);
});
