// The storage drivers that this machine can run, and why it can't run the others.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type {
  DriverHost,
  DriverName,
  RootfsDriver,
} from '../../src/oci/images/store/drivers/rootfs-driver.ts';
import { driverWith } from './storage-drivers-of.ts';
import { debianTree, inTree } from './tools/debian.ts';

export interface Place {
  readonly path: string;
  /** Everything that is mounted below it goes, too. */
  readonly remove: () => void;
}

export interface DriverTrial {
  readonly name: DriverName;
  /** Why it can't be tried here; empty when it can. */
  readonly whyNot: string;
  /** Empty where it needs none. */
  readonly program: string;
  readonly make: (host: DriverHost) => RootfsDriver;
  /** A directory on a file system that the driver works on. */
  readonly place: (purpose: string) => Place;
}

const triplet = process.arch === 'x64' ? 'x86_64-linux-gnu' : 'aarch64-linux-gnu';

/** A program of an unpacked Debian package as one that runs with that package's libraries. */
export function unpackedProgram(
  tree: Parameters<typeof debianTree>[0],
  directory: string,
  ...places: readonly string[]
): string {
  const root = debianTree(tree);
  const program = inTree(root, ...places);
  const libraries = [`usr/lib/${triplet}`, `lib/${triplet}`].map((place) => join(root, place)).join(':');
  const path = join(directory, program.split('/').at(-1) ?? '');
  mkdirSync(directory, { recursive: true });
  writeFileSync(path, `#!/bin/sh\nLD_LIBRARY_PATH=${libraries} exec ${program} "$@"\n`);
  chmodSync(path, 0o755);
  return path;
}

function lacks(...reasons: readonly (string | false)[]): string {
  return reasons.filter((reason) => reason !== false).join(', ');
}

function lacksTree(name: Parameters<typeof debianTree>[0]): string | false {
  try {
    debianTree(name);
    return false;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const kernelHas = (type: string): boolean =>
  new RegExp(`\\t${type}$`, 'mu').test(readFileSync('/proc/filesystems', 'utf8'));
const notRoot = process.getuid?.() !== 0 && 'needs root';

function ordinaryPlace(purpose: string): Place {
  const path = mkdtempSync(join(tmpdir(), `troupe-${purpose}-`));
  return {
    path,
    remove: () => {
      unmountBelow(path);
      rmSync(path, { recursive: true, force: true });
    },
  };
}

function unmountBelow(directory: string): void {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '');
  for (const point of points.filter((path) => path.startsWith(`${directory}/`)).reverse())
    execFileSync('umount', ['-l', point]);
}

/** Bytes of the file that a btrfs lies in; sparse. */
const BTRFS_BYTES = 512 * 1024 * 1024;

function btrfsPlace(purpose: string): Place {
  const { path, remove } = ordinaryPlace(purpose);
  const [image, place] = [join(path, 'image'), join(path, 'btrfs')];
  writeFileSync(image, '');
  truncateSync(image, BTRFS_BYTES);
  execFileSync(unpackedProgram('btrfs-progs', join(path, 'bin'), 'sbin/mkfs.btrfs', 'usr/sbin/mkfs.btrfs'), [
    '-q',
    image,
  ]);
  mkdirSync(place);
  execFileSync('mount', ['-o', 'loop', image, place]);
  return { path: place, remove };
}

/** All of them. */
export function storageDrivers(): readonly DriverTrial[] {
  const tools = mkdtempSync(join(tmpdir(), 'troupe-tools-'));
  afterAll(() => rmSync(tools, { recursive: true, force: true }));
  const noFuse = lacks(notRoot, !existsSync('/dev/fuse') && 'needs /dev/fuse', lacksTree('fuse-overlayfs'));
  const noErofs = lacks(notRoot, !kernelHas('erofs') && 'the kernel has no erofs', lacksTree('erofs-utils'));
  const noBtrfs = lacks(notRoot, !kernelHas('btrfs') && 'the kernel has no btrfs', lacksTree('btrfs-progs'));
  const program = (whyNot: string, tree: Parameters<typeof debianTree>[0], name: string): string =>
    whyNot === '' ? unpackedProgram(tree, tools, `usr/bin/${name}`) : '';
  const fuse = program(noFuse, 'fuse-overlayfs', 'fuse-overlayfs');
  const erofs = program(noErofs, 'erofs-utils', 'mkfs.erofs');
  const trial = (name: DriverName, whyNot: string, program = '', place = ordinaryPlace): DriverTrial => ({
    name,
    whyNot,
    program,
    make: driverWith(name, program),
    place,
  });
  return [
    trial('overlay', lacks(notRoot)),
    trial('vfs', lacks(notRoot)),
    trial('fuse-overlayfs', noFuse, fuse),
    trial('btrfs', noBtrfs, '', btrfsPlace),
    trial('erofs', noErofs, erofs),
  ];
}
