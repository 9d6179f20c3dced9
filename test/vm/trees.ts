// Debian trees, made by mmdebstrap below the cache and kept there: QEMU, kernels and the roots of guests.
import { join } from 'node:path';
import { runOrThrow } from '../support/run.ts';
import { cacheDirectory } from '../support/tools/cache.ts';
import type { Architecture, Release } from './world.ts';

/** On a busy machine; a minute on a quiet one. */
export const BUILD_TIMEOUT_MS = 40 * 60_000;

/**
 * Runs Debian's mmdebstrap, which scripts/setup.js has unpacked.
 * @param variant `extract`: packages and what they need, unpacked only; `minbase`: a system, installed
 * @param architecture with another one than the machine's only `extract` is possible, since programs of packages run
 *   during an installation
 */
export async function debianTree(
  target: string,
  release: Release,
  variant: 'extract' | 'minbase',
  packages: readonly string[],
  architecture: Architecture = 'x64',
): Promise<void> {
  const unpacked = join(cacheDirectory, 'debian/mmdebstrap/usr/bin');
  process.stderr.write(`making a ${release} tree of ${architecture} with ${packages.join(' ')} (once)\n`);
  await runOrThrow(
    [
      'nice',
      '-n',
      '15',
      'perl',
      join(unpacked, 'mmdebstrap'),
      '--mode=root',
      `--variant=${variant}`,
      `--architectures=${architecture === 'x64' ? 'amd64' : architecture}`,
      // one each: a pattern of apt's, such as ?essential, may hold commas
      ...packages.map((name) => `--include=${name}`),
      '--quiet',
      // of a mirror that is some weeks behind, the lists of a release in the making are past their date
      '--aptopt=Acquire::Check-Valid-Until "false"',
      release,
      target,
    ],
    // it calls a program of its own by name
    { timeoutMs: BUILD_TIMEOUT_MS, env: { PATH: `${process.env['PATH'] ?? ''}:${unpacked}` } },
  );
}
