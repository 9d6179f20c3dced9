// Packages whose program can't take over from the daemon that runs: that of a later version with one place of its text
// changed, packed again.
import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onlyPlaceChanged } from '../../../scripts/support/only-place.ts';
import { storedVersions } from '../../../src/base/stored-versions.ts';
import { runOrThrow } from '../../support/run.ts';

interface Change {
  /** Between the versions of the daemon that runs and of the next one. */
  readonly version: string;
  readonly from: string;
  readonly to: string;
}

/** By what the program lacks. */
export const REFUSING = {
  // reads no journal of the version that the daemon that runs has
  journal: {
    version: '98.0.0',
    from: `storedVersions={journal:${storedVersions.journal},`,
    to: `storedVersions={journal:${storedVersions.journal - 1},`,
  },
  // wants a C library that no machine has: fails the check of its start
  check: { version: '98.1.0', from: 'minor<34)', to: 'minor<99)' },
} as const satisfies Readonly<Record<string, Change>>;

const digestOf = (text: string): string =>
  createHash('sha256').update(text, 'latin1').digest('hex').slice(0, 16);

/**
 * Makes such a package beside another one.
 * @param work a directory that does not exist, for the tree
 */
export async function makeRefusing(
  { version, from, to }: Change,
  deb: string,
  work: string,
  target: string,
): Promise<void> {
  await runOrThrow(['dpkg-deb', '--raw-extract', deb, work]);
  const edit = async (name: string, how: (text: string) => string): Promise<void> => {
    const path = join(work, name);
    await writeFile(path, how(await readFile(path, 'latin1')), 'latin1');
  };
  const dist = 'usr/lib/troupe/dist';
  let digests: readonly [string, string] = ['', ''];
  await edit(`${dist}/troupe.cjs`, (text) => {
    const next = onlyPlaceChanged(text, [from, to], 'the program');
    digests = [digestOf(text), digestOf(next)];
    return next;
  });
  // by which the launcher knows compiled code of another text
  await edit(`${dist}/launch.cjs`, (text) => onlyPlaceChanged(text, digests, 'the launcher'));
  await edit('DEBIAN/control', (text) => text.replace(/^Version: .*$/mu, `Version: ${version}`));
  await edit('DEBIAN/md5sums', (text) => text.replaceAll(/^.*dist\/(?:troupe|launch)\.cjs\n/gmu, ''));
  await runOrThrow(['dpkg-deb', '--root-owner-group', '-Znone', '--build', work, target]);
  await rm(work, { recursive: true });
}
