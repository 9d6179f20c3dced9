// Debian trees, made by mmdebstrap below the cache and kept there: QEMU, kernels and the roots of guests.
import { join } from 'node:path';
import { runOrThrow } from '../support/run.ts';
import { cacheDirectory } from '../support/tools/cache.ts';
import type { Release } from './world.ts';

/** On a busy machine; a minute on a quiet one. */
export const BUILD_TIMEOUT_MS = 40 * 60_000;

/**
 * Runs Debian's mmdebstrap, which scripts/setup.js has unpacked.
 * @param variant `extract`: packages and what they need, unpacked only; `minbase`: a system, installed
 */
export async function debianTree(
  target: string,
  release: Release,
  variant: 'extract' | 'minbase',
  packages: readonly string[],
): Promise<void> {
  const unpacked = join(cacheDirectory, 'debian/mmdebstrap/usr/bin');
  process.stderr.write(`making a ${release} tree with ${packages.join(' ')} (once)\n`);
  await runOrThrow(
    [
      'nice',
      '-n',
      '15',
      'perl',
      join(unpacked, 'mmdebstrap'),
      '--mode=root',
      `--variant=${variant}`,
      `--include=${packages.join(',')}`,
      '--quiet',
      release,
      target,
    ],
    // it calls a program of its own by name
    { timeoutMs: BUILD_TIMEOUT_MS, env: { PATH: `${process.env['PATH'] ?? ''}:${unpacked}` } },
  );
}
