// What `troupe wipe` and `troupe check --repair` delete, of which containers have made the most.
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
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { removeFiles } from '../../../../src/daemon/cli/take-away.ts';
import { stopKernelThread } from '../../../../src/host/kernel-thread/kernel-thread.ts';
import { makeDeep } from '../../../support/deep-tree.ts';

describe('files that the commands delete', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-removed-files-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));
  afterAll(stopKernelThread);

  it('F89 S59: directories nested deeper than a path is long go', async () => {
    const tree = join(directory, 'containers');
    mkdirSync(tree);
    makeDeep(tree, 2200);
    await removeFiles(tree);
    expect(existsSync(tree)).toBe(false);
  });

  it('links go, what they lead to stays; also below a directory that is reached by a link', async () => {
    const [outside, place] = [join(directory, 'outside'), join(directory, 'place')];
    mkdirSync(outside);
    writeFileSync(join(outside, 'kept'), 'kept');
    mkdirSync(join(outside, 'tree'));
    symlinkSync(outside, join(outside, 'tree/link'));
    symlinkSync(outside, place);
    await removeFiles(join(place, 'tree'));
    expect(existsSync(join(outside, 'tree'))).toBe(false);
    expect(readFileSync(join(outside, 'kept'), 'utf8')).toBe('kept');
    writeFileSync(join(outside, 'file'), '');
    await removeFiles(join(place, 'file'));
    expect(existsSync(join(outside, 'file'))).toBe(false);
    await removeFiles(join(place, 'absent'));
    await removeFiles(join(directory, 'absent', 'absent'));
  });
});
