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
import type { ContainerId, SandboxId } from '../../../../src/base/ids.ts';
import type { Leak } from '../../../../src/daemon/cli/findings.ts';
import { isGoneSince, nameOfLeak, removeFiles } from '../../../../src/daemon/cli/take-away.ts';
import type { FoundAfter, TakenLeak } from '../../../../src/daemon/cli/take-away.ts';
import { stopKernelThread } from '../../../../src/host/kernel-thread/kernel-thread.ts';
import { makeDeep } from '../../../support/deep-tree.ts';

describe('files that the commands delete', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-removed-files-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));
  afterAll(stopKernelThread);

  it('F89 S59: directories nested deeper than the longest path are deleted', async () => {
    const tree = join(directory, 'containers');
    mkdirSync(tree);
    makeDeep(tree, 2200);
    await removeFiles(tree);
    expect(existsSync(tree)).toBe(false);
  });

  it('links are deleted, their targets stay, also below a directory reached by a link', async () => {
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

describe('I3 a failure of wipe', () => {
  const files = (path: string, problem = ''): TakenLeak => ({ leak: { kind: 'files', path }, problem });
  const cgroup = (path: string): Leak => ({
    kind: 'cgroup',
    cgroup: { path, id: 'a'.repeat(64) as ContainerId },
  });

  const found = (...leaks: readonly Leak[]): FoundAfter => ({
    names: new Set(leaks.map(nameOfLeak)),
    startTicks: new Map(
      leaks.flatMap((leak) =>
        leak.kind === 'process' ? [[leak.process.pid, leak.process.startTicks] as const] : [],
      ),
    ),
  });
  const nothing = found();

  it('does not count once its file is removed with the directory above it', () => {
    const unread = files('/r/cni/cache/a.json', 'not read: EIO');
    expect(isGoneSince(unread, [files('/r/cni')], nothing)).toBe(true);
    expect(isGoneSince(files('/r/cni', 'not read: EIO'), [files('/r/cni')], nothing)).toBe(true);
  });

  it('counts while its file stays', () => {
    const unread = files('/r/cni/cache', 'not read: EIO');
    for (const removed of [[], [files('/r/cni', 'EBUSY')], [files('/r/cn')], [files('/r/cni/cache/a.json')]])
      expect(isGoneSince(unread, removed, nothing)).toBe(false);
  });

  it('does not count once its process, cgroup or mount is no longer found', () => {
    const busy = { leak: cgroup('/troupe/a'), problem: 'EBUSY' };
    expect(isGoneSince(busy, [], found(cgroup('/troupe/a')))).toBe(false);
    expect(isGoneSince(busy, [], found(cgroup('/troupe/b')))).toBe(true);
  });

  it('counts for a process that is still there, though it has no command line any more, and not for one with its pid', () => {
    const process = (name: string, startTicks: number): Leak => ({
      kind: 'process',
      process: { pid: 5, startTicks, id: 'a'.repeat(64) as ContainerId, role: 'monitor', name },
    });
    const stuck = { leak: process('/usr/bin/conmon', 9), problem: 'killed, but these do not end: 5' };
    expect(isGoneSince(stuck, [], found(process('', 9)))).toBe(false);
    expect(isGoneSince(stuck, [], found(process('/usr/bin/conmon', 10)))).toBe(true);
    expect(isGoneSince(stuck, [], nothing)).toBe(true);
  });

  it('counts for a network, of which rules and addresses may be left', () => {
    const attachment: Leak = { kind: 'attachment', id: 'a'.repeat(64) as SandboxId };
    expect(isGoneSince({ leak: attachment, problem: 'exit code 1' }, [files('/r/cni')], nothing)).toBe(false);
  });
});
