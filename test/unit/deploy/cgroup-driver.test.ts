/** The cgroup driver and its parent, as a configuration says them. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/daemon/config/config.ts';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'troupe-config-'));
});
afterEach(async () => await rm(directory, { recursive: true }));

const cgroup = async (...lines: readonly string[]) => {
  const file = join(directory, 'troupe.toml');
  await writeFile(file, ['[cgroup]', ...lines, ''].join('\n'));
  return (await loadConfig(file, true, {})).config.cgroup;
};

describe('cgroup.driver', () => {
  it.each([
    [[], 'cgroupfs', '/troupe'],
    [['driver = "systemd"'], 'systemd', 'troupe.slice'],
    [['driver = "systemd"', 'parent = "a-b.slice"'], 'systemd', 'a-b.slice'],
    [['driver = "cgroupfs"', 'parent = "/a/b"'], 'cgroupfs', '/a/b'],
  ])('%j', async (lines, driver, parent) => {
    expect(await cgroup(...lines)).toEqual({ driver, parent });
  });

  it.each([
    [['driver = "systemd"', 'parent = "/a/b"'], 'must be a slice'],
    [['parent = "a.slice"'], 'must not be a slice'],
    [['parent = "a/b"'], 'must be an absolute path, or the name of a slice'],
    [['driver = "elogind"'], 'must be one of cgroupfs, systemd'],
  ])('%j is refused', async (lines, reason) => {
    await expect(cgroup(...lines)).rejects.toThrow(reason);
  });
});
