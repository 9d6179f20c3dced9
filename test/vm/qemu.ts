// QEMU with Debian's own kernel: slow, since its processor is emulated, but the kernel that nodes run, with modules and
// huge pages.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cached } from '../support/tools/cache.ts';
import { type GuestRun, JOB_FD, type Machine } from './guest-run.ts';
import { rootPartition } from './boot-record.ts';
import { debianTree } from './trees.ts';

/** The release that QEMU and the kernel come from. */
const RELEASE = 'trixie';
/** A package's change of version makes nothing new here; this does. */
const RECIPE = 1;

/** QEMU and a kernel with its modules, unpacked and not installed. */
export const qemuTree = async (): Promise<string> =>
  await cached(
    `vm/host-${RELEASE}-${RECIPE}`,
    async (work) =>
      await debianTree(work, RELEASE, 'extract', ['qemu-system-x86', 'linux-image-cloud-amd64']),
  );

/** A disk that the guest finds by its serial number. */
const diskArguments = ({ serial, file, use }: GuestRun['disks'][number]): string[] => [
  '-drive',
  `file=${file},if=none,id=${serial},format=raw,${{ snapshot: 'snapshot=on', readonly: 'readonly=on', write: 'cache=unsafe', plain: 'cache=unsafe' }[use]}`,
  '-device',
  `nvme,drive=${serial},serial=${serial}`,
];

/** QEMU runs with the loader and the libraries of its own tree. */
export async function qemuMachine(): Promise<Machine> {
  const tree = await qemuTree();
  const libraries = join(tree, 'usr/lib/x86_64-linux-gnu');
  const kernel = (await readdir(join(tree, 'boot'))).find((name) => name.startsWith('vmlinuz-'));
  if (kernel === undefined) throw new Error(`there is no kernel in ${tree}/boot`);
  const program = [
    join(tree, 'usr/lib64/ld-linux-x86-64.so.2'),
    '--library-path',
    libraries,
    join(tree, 'usr/bin/qemu-system-x86_64'),
    ...['usr/share/qemu', 'usr/share/seabios'].flatMap((place) => ['-L', join(tree, place)]),
  ];
  return {
    rootDevice: rootPartition,
    env: { QEMU_MODULE_DIR: join(libraries, 'qemu') },
    argv: (run, consoleLog) => [...program, ...qemuArguments(run, join(tree, 'boot', kernel), consoleLog)],
  };
}

/**
 * QEMU's arguments. TCG on purpose: a nested KVM may refuse a distribution's kernel, and no test measures time in here.
 * la57=off: without it `max` has five-level paging, which TCG walks slowly.
 */
export function qemuArguments(run: GuestRun, kernel: string, consoleLog: string): string[] {
  return [
    '-no-user-config',
    '-nodefaults',
    '-display',
    'none',
    '-machine',
    'q35',
    '-accel',
    'tcg,thread=multi',
    '-cpu',
    'max,la57=off',
    // one CPU: on a busy machine a second one's timers are found at fault while it boots, and its tasks hang
    '-smp',
    '1',
    '-m',
    String(run.memoryMib),
    '-kernel',
    kernel,
    '-append',
    ['console=ttyS0', 'troupe.tty=ttyS1', 'panic=-1', 'no_timer_check', ...run.commandLine].join(' '),
    ...run.disks.flatMap(diskArguments),
    '-serial',
    `file:${consoleLog}`,
    '-add-fd',
    `fd=${JOB_FD},set=1`,
    '-chardev',
    'file,id=job,path=/dev/fdset/1',
    '-serial',
    'chardev:job',
  ];
}
