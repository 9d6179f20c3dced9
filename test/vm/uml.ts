// User-mode Linux: a kernel built as a program of this machine, from Debian's source package. Programs in the guest run
// on the real processor; only system calls and page faults take a detour. It has no modules and no huge pages.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { runOrThrow } from '../support/run.ts';
import { cached, cacheDirectory } from '../support/tools/cache.ts';
import { CONSOLE_FD, type GuestRun, JOB_FD, type Machine } from './guest-run.ts';
import { BUILD_TIMEOUT_MS, debianTree } from './trees.ts';

/** Its seccomp mode, several times as fast as ptrace, needs 6.16 or later: newer than the source in `trixie`. */
const RELEASE = 'forky';
/** What the kernel has beside the default configuration of its architecture. */
const CONFIG = join(import.meta.dirname, 'uml.config');

function cacheKey(): string {
  const recipe = createHash('sha256').update(RELEASE).update(readFileSync(CONFIG)).digest('hex').slice(0, 12);
  return `vm/uml-${recipe}`;
}

/** The kernel is in the cache. */
export const isUmlBuilt = (): boolean => existsSync(join(cacheDirectory, cacheKey()));

/** Builds the kernel: ten minutes of two cores, once. Answers the program. */
async function umlKernel(): Promise<string> {
  const directory = await cached(cacheKey(), async (work) => {
    const tree = await mkdtemp(join(tmpdir(), 'troupe-vm-uml-'));
    try {
      await debianTree(tree, RELEASE, 'extract', ['linux-source']);
      const sources = join(tree, 'usr/src');
      const archive = (await readdir(sources)).find((name) => /^linux-source-.*\.tar\.xz$/u.test(name));
      if (archive === undefined) throw new Error(`there are no kernel sources in ${sources}`);
      const source = join(tree, 'linux');
      await runOrThrow(['mkdir', source]);
      await runOrThrow(
        ['tar', '--extract', '--file', join(sources, archive), '--strip-components=1', '-C', source],
        { timeoutMs: BUILD_TIMEOUT_MS },
      );
      await buildKernel(source);
      await copyFile(join(source, 'linux'), join(work, 'linux'));
      await copyFile(join(source, '.config'), join(work, 'config'));
    } finally {
      await rm(tree, { recursive: true, force: true });
    }
  });
  return join(directory, 'linux');
}

async function buildKernel(source: string): Promise<void> {
  process.stderr.write('building user-mode Linux (once)\n');
  const options = { cwd: source, timeoutMs: BUILD_TIMEOUT_MS };
  const make = ['nice', '-n', '10', 'make', 'ARCH=um', `-j${availableParallelism()}`];
  await runOrThrow([...make, 'defconfig'], options);
  await runOrThrow(['scripts/kconfig/merge_config.sh', '-m', '-O', '.', '.config', CONFIG], options);
  await runOrThrow([...make, 'olddefconfig'], options);
  await runOrThrow([...make, 'linux'], options);
}

/** Such as `ubd0=…`: c is for snapshots, whose writes go to a sparse file in the run's directory. */
function diskArgument(run: GuestRun, disk: GuestRun['disks'][number], index: number): string {
  const file =
    disk.use === 'snapshot' ? `${join(run.directory, `${disk.serial}.cow`)},${disk.file}` : disk.file;
  const flag = disk.use === 'readonly' ? 'r' : disk.use === 'plain' ? 't' : '';
  return `ubd${index}${flag}=${file}`;
}

/** Its console goes to a file, its second serial line to stdout. */
export async function umlMachine(): Promise<Machine> {
  const kernel = await umlKernel();
  return {
    rootDevice: '/dev/ubda1',
    // it ends at once without one, although `uml_dir` names a directory
    env: { HOME: '/' },
    // twice to three times as slow as the machine, which may be busy
    patience: 4,
    argv: (run) => [kernel, ...umlArguments(run)],
  };
}

export function umlArguments(run: GuestRun): string[] {
  return [
    `mem=${run.memoryMib}M`,
    // one: with two, 7.3 warns of wake-ups on the wrong processor and never ends its boot
    'ncpus=1',
    'seccomp=on',
    // not a directory of the user's, which is where it leaves its pid otherwise
    `uml_dir=${run.directory}/`,
    ...run.disks.map((disk, index) => diskArgument(run, disk, index)),
    'con=null',
    'ssl=null',
    `con0=null,fd:${CONSOLE_FD}`,
    `ssl1=null,fd:${JOB_FD}`,
    'console=tty0',
    'troupe.tty=ttyS1',
    `troupe.disks=${run.disks.map(({ serial }) => serial).join()}`,
    // mapping a ring ends in "Bad page map"
    'sysctl.kernel.io_uring_disabled=2',
    // a panic must end the process, not wait
    'panic=-1',
    ...run.commandLine,
  ];
}
