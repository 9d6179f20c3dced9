// What a start finds in the place of its directories.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeOwnDirectories, makeTopDirectory } from '../../../../src/daemon/wiring/own-directories.ts';
import { createLayout } from '../../../../src/host/sandbox/layout.ts';

describe('directories of a start', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-directories-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it('F83: nothing in root and state is touched before the lock is taken', async () => {
    const layout = createLayout({ root: join(directory, 'root'), state: join(directory, 'state') });
    mkdirSync(layout.state);
    writeFileSync(layout.exitsDir, 'of the daemon that runs');
    for (const path of [layout.root, layout.state]) await makeTopDirectory(path);
    expect(statSync(layout.root).isDirectory()).toBe(true);
    expect(readFileSync(layout.exitsDir, 'utf8')).toBe('of the daemon that runs');
    expect(existsSync(layout.containersDir)).toBe(false);
  });

  it('ends with an error for a root that the kernel does not create', async () => {
    const path = '/proc/troupe-nowhere/root';
    await expect(makeTopDirectory(path)).rejects.toThrow(`create directory ${path}: ENOENT`);
  });

  it('F89: a file or a dangling link is moved aside, and nothing that was moved earlier is deleted', async () => {
    const layout = createLayout({ root: join(directory, 'root'), state: join(directory, 'state') });
    for (const path of [layout.root, layout.state]) await makeTopDirectory(path);
    writeFileSync(layout.exitsDir, 'a file');
    symlinkSync(join(directory, 'nowhere'), layout.sandboxesDir);
    mkdirSync(join(`${layout.exitsDir}.not-a-directory`, 'below'), { recursive: true });
    writeFileSync(`${layout.exitsDir}.not-a-directory.1`, 'earlier');
    const moved = await makeOwnDirectories(layout);
    expect(moved.map(({ subject }) => subject).toSorted()).toEqual([
      `${layout.exitsDir}.not-a-directory.2`,
      `${layout.sandboxesDir}.not-a-directory`,
    ]);
    expect(readFileSync(`${layout.exitsDir}.not-a-directory.2`, 'utf8')).toBe('a file');
    expect(readFileSync(`${layout.exitsDir}.not-a-directory.1`, 'utf8')).toBe('earlier');
    expect(existsSync(join(`${layout.exitsDir}.not-a-directory`, 'below'))).toBe(true);
    for (const made of [layout.exitsDir, layout.sandboxesDir, layout.containersDir])
      expect(statSync(made).isDirectory(), made).toBe(true);
  });
});
