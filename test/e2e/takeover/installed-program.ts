// A program in a directory of its own, as a package installs it, and what the next package does to that directory.
import { readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundleInto } from '../../../scripts/support/bundle-daemon.ts';
import { programEntries } from '../../../scripts/support/package/program-tree.ts';
import { stage } from '../../../scripts/support/package/staged.ts';

const RUNS = /^(?:bin|dist|node_modules)\//u;
/** Neither for Node nor for a shell, and no library. */
const BROKEN = '#!/bin/false\n((( a file of another package\n';

/** Puts the working tree's program into `<directory>/program`, as a package does; answers its `bin/troupe`. */
export async function installProgram(directory: string): Promise<string> {
  const [bundle, program] = [join(directory, 'bundle'), join(directory, 'program')];
  await bundleInto(bundle, { isShipped: true });
  const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
  // V8's compiled code goes into the program's directory, not into the machine's /var
  const entries = programEntries(architecture, bundle, [], '').filter(
    (entry) => RUNS.test(entry.path) && !('link' in entry),
  );
  stage(entries, program, 0);
  return join(program, 'bin/troupe');
}

/**
 * Puts a broken file in the place of each file of the program, by rename as dpkg does, and removes every second one.
 * Answers their paths.
 */
export function exchangeProgram(directory: string): readonly string[] {
  const program = join(directory, 'program');
  const paths = readdirSync(program, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .toSorted();
  for (const [index, path] of paths.entries()) {
    writeFileSync(`${path}.new`, BROKEN, { mode: 0o755 });
    renameSync(`${path}.new`, path);
    if (index % 2 === 0) rmSync(path);
  }
  return paths;
}
