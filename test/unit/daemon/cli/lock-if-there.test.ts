// The locks of a command that works without a daemon.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { lockIfThere } from '../../../../src/daemon/cli/lock-if-there.ts';
import { lockDirectory } from '../../../../src/host/files/directory-lock.ts';

let directory: string;
let root: string;
let state: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'troupe-locks-'));
  root = join(directory, 'root');
  state = join(directory, 'state');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

it.each(['root', 'state'] as const)(
  'F83: refuses while a daemon holds the %s, and holds neither then',
  async (held) => {
    for (const path of [root, state]) mkdirSync(path);
    const daemon = await lockDirectory({ root, state }[held]);
    await expect(lockIfThere({ root, state })).rejects.toThrow(
      `lock ${{ root, state }[held]}: held by process ${process.pid}`,
    );
    await daemon.release();
    const ours = await lockIfThere({ root, state });
    for (const path of [root, state]) await expect(lockDirectory(path)).rejects.toThrow(`lock ${path}: held`);
    await ours.release();
    for (const path of [root, state]) await (await lockDirectory(path)).release();
  },
);

it('locks what is there, and one directory once', async () => {
  await (await lockIfThere({ root, state })).release();
  mkdirSync(state);
  const ofState = await lockIfThere({ root, state });
  await expect(lockDirectory(state)).rejects.toThrow('held');
  await ofState.release();
  symlinkSync('state', root);
  await (await lockIfThere({ root, state })).release();
});
