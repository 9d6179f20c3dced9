import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { distributionLimits } from '../../../../../src/oci/images/bounds.ts';
import { loadRegistries } from '../../../../../src/oci/images/registry/load-registries.ts';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'troupe-registries-'));
});

afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

describe('registries.conf and its drop-in directory', () => {
  it('may both be missing', async () => {
    const conf = await loadRegistries({ file: join(root, 'none'), directory: join(root, 'none.d') });
    expect(conf.rules).toEqual([]);
    expect(conf.searchRegistries).toBeUndefined();
    expect((await loadRegistries({ file: '', directory: '' })).rules).toEqual([]);
  });

  it('are read in the order of names, *.conf only', async () => {
    const directory = join(root, 'd');
    mkdirSync(directory);
    writeFileSync(join(root, 'r.conf'), '[[registry]]\nlocation = "a.example"\n');
    writeFileSync(join(directory, '20.conf'), 'unqualified-search-registries = ["later.example"]');
    writeFileSync(join(directory, '10.conf'), 'unqualified-search-registries = ["earlier.example"]');
    writeFileSync(join(directory, 'note.txt'), 'not toml [');
    const conf = await loadRegistries({ file: join(root, 'r.conf'), directory });
    expect(conf.rules.map(({ prefix }) => prefix)).toEqual(['a.example']);
    expect(conf.searchRegistries).toEqual(['later.example']);
  });

  it('F95 report file and line of an error', async () => {
    const file = join(root, 'r.conf');
    writeFileSync(file, '\n\nx = 1\n');
    const { problems, refusal } = await loadRegistries({ file, directory: '' });
    expect([...problems]).toEqual([[file, 'line 3: unknown key "x"']]);
    expect(refusal).toBeUndefined();
  });

  it('F95 an unreadable file (too large, a FIFO, a directory, a loop of links) refuses pulls without a wait', async () => {
    const directory = join(root, 'd');
    mkdirSync(join(directory, 'dir.conf'), { recursive: true });
    writeFileSync(join(directory, 'large.conf'), '#'.repeat(distributionLimits.confBytes + 1));
    execFileSync('mkfifo', [join(directory, 'fifo.conf')]);
    symlinkSync('loop.conf', join(directory, 'loop.conf'));
    writeFileSync(join(directory, 'ok.conf'), '[[registry]]\nlocation = "a.example"\n');
    const { problems, refusal, rules } = await loadRegistries({ file: directory, directory });
    const reasons = Object.fromEntries([...problems].map(([path, reason]) => [relative(root, path), reason]));
    expect(reasons).toEqual({
      d: expect.stringContaining('not a regular file'),
      'd/dir.conf': expect.stringContaining('not a regular file'),
      'd/fifo.conf': expect.stringContaining('not a regular file'),
      'd/large.conf': expect.stringContaining('more than the'),
      'd/loop.conf': expect.stringContaining('ELOOP'),
    });
    expect(refusal).toContain(directory);
    expect(rules.map(({ prefix }) => prefix)).toEqual(['a.example']);
  });

  it('F95 a file in the place of the directory refuses pulls', async () => {
    const directory = join(root, 'd');
    writeFileSync(directory, '');
    expect((await loadRegistries({ file: '', directory })).refusal).toBe(
      `${directory}: list directory: ENOTDIR`,
    );
  });
});
