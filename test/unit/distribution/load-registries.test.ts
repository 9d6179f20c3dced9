import { mkdtempSync, rmSync, writeFileSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FaultError } from '../../../src/base/fault.ts';
import { distributionLimits } from '../../../src/base/limits.ts';
import { loadRegistries } from '../../../src/oci/distribution/load-registries.ts';

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

  it('name the file and the line of what is wrong', async () => {
    const file = join(root, 'r.conf');
    writeFileSync(file, '\n\nx = 1\n');
    await expect(loadRegistries({ file, directory: '' })).rejects.toThrow(`${file}:3: x:`);
  });

  it('are capped', async () => {
    const file = join(root, 'r.conf');
    writeFileSync(file, '#'.repeat(distributionLimits.confBytes + 1));
    await expect(loadRegistries({ file, directory: '' })).rejects.toThrow(FaultError);
  });
});
