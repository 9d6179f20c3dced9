// `npm run demo`, twice: what it shows, and that the machine is the same before and after.
import { mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { differencesWhenSettled, snapshotMachine } from '../../support/baseline.ts';
import { run } from '../../support/run.ts';
import { cacheDirectory, checkout } from '../../support/tools/cache.ts';
import { describePods } from '../support/crictl.ts';

/**
 * The beginning of every name that a demo gives to directories, cgroups and links: others may work on this machine,
 * too.
 */
const WORDS = ['trdemo'] as const;

describePods('the demo', () => {
  test('two runs in a row show a pod’s whole life, and leave mounts, namespaces, cgroups, processes and links as before', async () => {
    // as on a fresh machine: of all that the tests build or unpack it has what `npm run demo` itself sees to (no Go, no
    // crictl)
    const cache = await mkdtemp(join(tmpdir(), 'troupe-demo-cache-'));
    onTestFinished(async () => await rm(cache, { recursive: true }));
    await mkdir(join(cache, 'debian'));
    await symlink(join(cacheDirectory, 'debian/busybox-static'), join(cache, 'debian/busybox-static'));
    const before = await snapshotMachine(WORDS);
    for (let round = 0; round < 2; round += 1) {
      const ended = await run([process.execPath, join(checkout, 'scripts/demo.ts')], {
        env: { TROUPE_CACHE: cache },
      });
      expect(ended.stderr).toBe('');
      expect(ended.code).toBe(0);
      for (const shown of [
        'provisioning',
        '→ ready',
        '→ running',
        'hello from demo',
        'exec sees pid 1: sh',
        'exit code 0, reason Completed',
        'bye',
        'the machine is as it was',
      ]) {
        expect(ended.stdout).toContain(shown);
      }
      expect(await differencesWhenSettled(before, WORDS, (line) => line.includes('(zombie)'))).toEqual([]);
    }
    expect(await readdir(cache)).toEqual(['debian']);
  });
});
