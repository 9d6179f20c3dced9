// Conditions whose cause an administrator takes away while the daemon runs.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { Conditions } from '../../../../src/base/conditions.ts';
import { actorLimits } from '../../../../src/actors/bounds.ts';
import { silentLog } from '../../../../src/base/log.ts';
import { makeOwnDirectories, makeTopDirectory } from '../../../../src/daemon/wiring/own-directories.ts';
import { Rechecked, whileThere } from '../../../../src/daemon/wiring/rechecked.ts';
import { createLayout } from '../../../../src/host/sandbox/layout.ts';
import { storePaths } from '../../../../src/oci/images/store/records/layer-layout.ts';
import { storeDirectories } from '../../../../src/oci/images/store/records/store-directories.ts';
import { HandClock } from '../../../support/hand-clock.ts';

function bench() {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-rechecked-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const [clock, conditions] = [new HandClock(), new Conditions(silentLog)];
  const rechecked = new Rechecked(clock, conditions);
  const left = (): readonly string[] => conditions.all().map(({ subject }) => subject);
  return { directory, clock, rechecked, conditions, left };
}

test('F89 I22 what was moved aside is reported until it is deleted', async () => {
  const { directory, clock, rechecked, left } = bench();
  const layout = createLayout({ root: join(directory, 'root'), state: join(directory, 'state') });
  for (const path of [layout.root, layout.state]) await makeTopDirectory(path);
  const paths = storePaths(layout.root);
  for (const path of [layout.exitsDir, paths.layers]) writeFileSync(path, 'a file');
  for (const moved of await makeOwnDirectories(layout)) rechecked.report(moved, whileThere(moved));
  await storeDirectories(
    paths,
    (call) => call(),
    (call) => call(),
    (moved) => rechecked.report(moved, whileThere(moved)),
  ).ofImages();
  const [exits, layers] = [`${layout.exitsDir}.not-a-directory`, `${paths.layers}.not-a-directory`];
  expect(left()).toEqual([exits, layers]);
  rmSync(exits);
  await clock.advance(actorLimits.debrisMs);
  await expect.poll(left).toEqual([layers]);
  rmSync(layers);
  await clock.advance(actorLimits.debrisMs);
  await expect.poll(left).toEqual([]);
  // nothing is polled any more
  await clock.advance(actorLimits.debrisMs);
  expect(clock.timers.size).toBe(0);
  rechecked.close();
});

test('F89 a hanging check is not repeated and delays no other; a failed one gives the reason', async () => {
  const { clock, rechecked, conditions, left } = bench();
  let begun = 0;
  rechecked.report({ type: 'PartsStarted', subject: 'dead', reason: 'it does not answer' }, () => {
    begun += 1;
    return new Promise(() => undefined);
  });
  let answer: () => Promise<string | undefined> = () => Promise.reject(new Error('read it: EIO'));
  rechecked.report({ type: 'PartsStarted', subject: 'other', reason: 'missing' }, () => answer());
  await clock.advance(actorLimits.debrisMs);
  expect(conditions.all().map(({ reason }) => reason)).toEqual([
    'it does not answer',
    expect.stringContaining('EIO'),
  ]);
  answer = () => Promise.resolve(undefined);
  await clock.advance(actorLimits.debrisMs);
  expect([left(), begun]).toEqual([['dead'], 1]);
  rechecked.close();
  expect(clock.timers.size).toBe(0);
});
