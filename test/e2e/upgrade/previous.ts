// The program of another commit, bundled in a directory of its own.
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { gitIn } from '../../../scripts/support/git.ts';
import { releases } from '../../../scripts/support/releases.ts';
import { runOrThrow } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';

export interface BuiltProgram {
  /** Its bin/troupe. */
  readonly path: string;
  readonly name: string;
  /** Version of the journal that it writes. */
  readonly journal: number;
  /** Whether it takes over from a daemon that runs, and hands over to one. */
  readonly takesOver: boolean;
}

const git = (...args: readonly string[]): string => gitIn(checkout, ...args);

/** The last release; without one, the commit that the working tree is on: the first release will be one like it. */
export function previousCommit(): { readonly commit: string; readonly name: string } {
  const last = releases().at(-1);
  return last === undefined
    ? { commit: git('rev-parse', 'HEAD'), name: 'HEAD' }
    : { commit: last.commit, name: last.version };
}

/** A commit by any name that git knows. */
export const commitOf = (name: string): { readonly commit: string; readonly name: string } => ({
  commit: git('rev-parse', '--verify', `${name}^{commit}`),
  name,
});

/** The working tree's program; the set-up has bundled it. */
export const ownProgram = (): BuiltProgram => ({
  path: join(checkout, 'bin/troupe'),
  name: 'the working tree',
  journal: journalOf(checkout),
  takesOver: takesOver(checkout),
});

/** Builds it below `directory`, with the packages of this checkout. */
export async function buildCommit(
  directory: string,
  { commit, name }: { readonly commit: string; readonly name: string },
): Promise<BuiltProgram> {
  const tree = join(directory, commit.slice(0, 12));
  mkdirSync(tree);
  const archive = `${tree}.tar`;
  git('archive', '--format=tar', `--output=${archive}`, commit);
  await runOrThrow(['tar', '--extract', `--file=${archive}`, `--directory=${tree}`]);
  rmSync(archive);
  symlinkSync(join(checkout, 'node_modules'), join(tree, 'node_modules'));
  await runOrThrow([process.execPath, join(tree, 'scripts/bundle.ts')], { cwd: tree });
  return { path: join(tree, 'bin/troupe'), name, journal: journalOf(tree), takesOver: takesOver(tree) };
}

const takesOver = (tree: string): boolean => existsSync(join(tree, 'src/daemon/takeover'));

/** The first versions had no list of versions, and the first journal. */
function journalOf(tree: string): number {
  try {
    const text = readFileSync(join(tree, 'src/base/stored-versions.ts'), 'utf8');
    return Number(/^ {2}journal: (\d+),$/mu.exec(text)?.[1]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 1;
    throw error;
  }
}
