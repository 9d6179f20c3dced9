// Which files of a node `troupe check` takes for something of a pod or container.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { seenCgroup, seenEntries } from '../../../../src/daemon/cli/machine.ts';
import { createLayout } from '../../../../src/host/sandbox/layout.ts';

const ID = 'a'.repeat(64);
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'troupe-entries-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('I2 what a runtime keeps for all its containers is no container’s state', async () => {
  const state = join(directory, 'state/runtimes/crun');
  for (const name of [ID, 'unknown', '.cache/seccomp', 'null-netns'])
    mkdirSync(join(state, name), { recursive: true });
  const layout = createLayout({ root: join(directory, 'root'), state: join(directory, 'state') });
  const entries = await seenEntries(layout);
  expect(entries.toSorted((a, b) => a.path.localeCompare(b.path))).toEqual([
    { path: join(state, ID), kind: "runtime's state", id: ID },
    { path: join(state, 'unknown'), kind: "runtime's state", id: undefined },
  ]);
});

test.each([
  [`/a.slice/troupe-${ID}.scope`, { id: ID }],
  [`/a.slice/troupe-pause-${ID}.scope`, { id: ID }],
  [`/a.slice/troupe-vm-${ID}.scope`, { id: ID }],
  [`/a.slice/troupe-fuse-${ID}-4711.scope`, { id: ID, isHelpers: true }],
  [`/pods/troupe-${ID}`, { id: ID }],
  [`/pods/troupe-sandbox-${ID}`, { id: ID }],
])('I2 the cgroup %s is of a pod or container', (path, expected) => {
  expect(seenCgroup(path)).toEqual({ path, ...expected });
});

test.each([
  `/a.slice/troupe-fuse-${ID}.scope`,
  `/a.slice/troupe-fuse-${ID}-x.scope`,
  `/a.slice/cri-containerd-${ID}.scope`,
  '/a.slice/troupe-abc.scope',
])('I2 the cgroup %s is not ours', (path) => {
  expect(seenCgroup(path)).toBeUndefined();
});
