// Plugins that are started by us: which of a directory's files they are.
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { nriLimits } from '../../../src/nri/bounds.ts';
import { silentLog } from '../../../src/base/log.ts';
import { findPlugins } from '../../../src/nri/directory.ts';
import { EXHAUSTIVE } from '../../support/exhaustive.ts';

async function directory(plugins: readonly string[], others: readonly string[]) {
  const base = await mkdtemp(join(tmpdir(), 'nri-directory-'));
  onTestFinished(() => rm(base, { recursive: true }));
  const [own, configs] = [join(base, 'plugins'), join(base, 'conf')];
  for (const path of [own, configs]) await mkdir(path);
  for (const name of [...plugins, ...others]) await writeFile(join(own, name), '');
  for (const name of plugins) await chmod(join(own, name), 0o755);
  const warned: string[] = [];
  const log = { ...silentLog, warn: (_fields: object, message: string) => void warned.push(message) };
  return { warned, find: () => findPlugins(own, configs, log) };
}

const numbered = (count: number, form: (digits: string) => string): string[] =>
  Array.from({ length: count }, (_none, at) => form(String(at).padStart(4, '0')));

test(
  'S78 any number of files that are not plugins does not stop the others from being started',
  { tags: [EXHAUSTIVE] },
  async () => {
    const { find, warned } = await directory(
      ['10-logger'],
      numbered(nriLimits.directoryEntries + 10, (digits) => `stray-${digits}`),
    );
    expect((await find()).map(({ name, index }) => `${index} ${name}`)).toEqual(['10 logger']);
    expect(warned).toEqual([expect.stringContaining(`only the first ${nriLimits.directoryEntries} of`)]);
  },
);

test('S78 at most as many plugins are started as may register', async () => {
  const { find, warned } = await directory(
    numbered(nriLimits.plugins + 3, (digits) => `10-p${digits}`),
    [],
  );
  const found = await find();
  expect([found.length, found[0]?.name, warned.length]).toEqual([nriLimits.plugins, 'p0000', 3]);
});
