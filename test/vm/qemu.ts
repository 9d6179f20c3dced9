// QEMU with Debian's own kernel: slow, since its processor is emulated, but the kernel that nodes run, with modules and
// huge pages.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cached } from '../support/tools/cache.ts';
import { type GuestRun, JOB_FD, type Machine } from './guest-run.ts';
import { rootPartition } from './boot-record.ts';
import { debianTree } from './trees.ts';
import type { Architecture } from './world.ts';

/** The release that QEMU and the kernel come from. */
const RELEASE = 'trixie';
/** A package's change of version makes nothing new here; this does. */
const RECIPE = 1;

/** What differs between the machines that QEMU emulates. */
interface Emulated {
  /** QEMU and other programs of this machine, for the emulated one. */
  readonly programs: readonly string[];
  readonly emulator: string;
  readonly kernel: string;
  readonly machine: string;
  readonly processor: string;
  /** The kernel's name of its serial lines, without the number. */
  readonly serial: string;
  /** Words for the kernel. */
  readonly commandLine: readonly string[];
}

const emulated: Readonly<Record<Architecture, Emulated>> = {
  x64: {
    programs: ['qemu-system-x86'],
    emulator: 'qemu-system-x86_64',
    kernel: 'linux-image-cloud-amd64',
    machine: 'q35',
    // without la57=off `max` has five-level paging, which TCG walks slowly
    processor: 'max,la57=off',
    serial: 'ttyS',
    commandLine: ['no_timer_check'],
  },
  arm64: {
    // kmod: for depmod, which the guest's own packages have for its processor only
    programs: ['qemu-system-arm', 'kmod'],
    emulator: 'qemu-system-aarch64',
    kernel: 'linux-image-cloud-arm64',
    machine: 'virt,gic-version=3',
    // a server's processor; the pointer authentication of `max` costs TCG half of the time
    processor: 'cortex-a76',
    serial: 'ttyAMA',
    // with a page table of its own for programs, each system call empties the emulated TLB; KASLR turns it on
    commandLine: ['nokaslr', 'kpti=off', 'mitigations=off'],
  },
};

/** QEMU, unpacked and not installed. On x86-64 the kernel with its modules is in the same tree. */
const qemuTree = async (architecture: Architecture): Promise<string> =>
  await cached(
    `vm/host-${RELEASE}-${architecture === 'x64' ? '' : `${architecture}-`}${RECIPE}`,
    async (work) => {
      const { programs, kernel } = emulated[architecture];
      await debianTree(work, RELEASE, 'extract', architecture === 'x64' ? [...programs, kernel] : programs);
    },
  );

/** The tree with the kernel and its modules. */
export const kernelTree = async (architecture: Architecture): Promise<string> =>
  architecture === 'x64'
    ? await qemuTree(architecture)
    : await cached(
        `vm/kernel-${RELEASE}-${architecture}-${RECIPE}`,
        async (work) =>
          await debianTree(work, RELEASE, 'extract', [emulated[architecture].kernel], architecture),
      );

/**
 * The command line of a program of QEMU's tree, by the tree's own loader and libraries.
 * @param name what the program takes as its own name, when that decides what it does
 */
export async function programOfTree(
  architecture: Architecture,
  path: string,
  name?: string,
): Promise<string[]> {
  const tree = await qemuTree(architecture);
  return [
    join(tree, 'usr/lib64/ld-linux-x86-64.so.2'),
    ...(name === undefined ? [] : ['--argv0', name]),
    '--library-path',
    librariesOf(tree),
    join(tree, path),
  ];
}

const librariesOf = (tree: string): string => join(tree, 'usr/lib/x86_64-linux-gnu');

/** A disk that the guest finds by its serial number. */
const diskArguments = ({ serial, file, use }: GuestRun['disks'][number]): string[] => [
  '-drive',
  `file=${file},if=none,id=${serial},format=raw,${{ snapshot: 'snapshot=on', readonly: 'readonly=on', write: 'cache=unsafe', plain: 'cache=unsafe' }[use]}`,
  '-device',
  `nvme,drive=${serial},serial=${serial}`,
];

/** QEMU runs with the loader and the libraries of its own tree. */
export async function qemuMachine(architecture: Architecture): Promise<Machine> {
  const [tree, withKernel] = [await qemuTree(architecture), await kernelTree(architecture)];
  const kernel = (await readdir(join(withKernel, 'boot'))).find((name) => name.startsWith('vmlinuz-'));
  if (kernel === undefined) throw new Error(`there is no kernel in ${withKernel}/boot`);
  const program = [
    ...(await programOfTree(architecture, `usr/bin/${emulated[architecture].emulator}`)),
    ...['usr/share/qemu', 'usr/share/seabios'].flatMap((place) => ['-L', join(tree, place)]),
  ];
  return {
    rootDevice: rootPartition,
    env: { QEMU_MODULE_DIR: join(librariesOf(tree), 'qemu') },
    // ten to twenty times as slow as the machine
    patience: 10,
    argv: (run, consoleLog) => [
      ...program,
      ...qemuArguments(architecture, run, join(withKernel, 'boot', kernel), consoleLog),
    ],
  };
}

/** TCG on purpose: a nested KVM may refuse a distribution's kernel, and no test measures time in here. */
export function qemuArguments(
  architecture: Architecture,
  run: GuestRun,
  kernel: string,
  consoleLog: string,
): string[] {
  const { machine, processor, serial, commandLine } = emulated[architecture];
  return [
    '-no-user-config',
    '-nodefaults',
    '-display',
    'none',
    '-machine',
    machine,
    '-accel',
    'tcg,thread=multi',
    '-cpu',
    processor,
    // one CPU: on a busy machine a second one's timers are found at fault while it boots, and its tasks hang
    '-smp',
    '1',
    '-m',
    String(run.memoryMib),
    '-kernel',
    kernel,
    '-append',
    [`console=${serial}0`, `troupe.tty=${serial}1`, 'panic=-1', ...commandLine, ...run.commandLine].join(' '),
    ...run.disks.flatMap(diskArguments),
    '-serial',
    `file:${consoleLog}`,
    // a pipe of Node's is a pair of sockets, which QEMU does not open as a file
    '-chardev',
    `socket,id=job,fd=${JOB_FD}`,
    '-serial',
    'chardev:job',
  ];
}
