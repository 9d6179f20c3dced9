/** Parses /proc/PID/mountinfo (proc_pid_mountinfo(5)). */
import { dirname } from 'node:path';
import { askKernelThread } from '../kernel-thread/kernel-thread.ts';
import { sharedRead } from './shared-read.ts';

export interface MountInfo {
  readonly id: number;
  readonly parentId: number;
  /** `major:minor`. */
  readonly device: string;
  /** The directory of the file system that is the mount's root. */
  readonly root: string;
  readonly mountPoint: string;
  readonly options: readonly string[];
  /** Peer group when the mount is shared. */
  readonly sharedGroup?: number;
  /** Peer group that this mount receives from. */
  readonly masterGroup?: number;
  readonly isUnbindable: boolean;
  readonly fsType: string;
  readonly source: string;
  readonly superOptions: readonly string[];
}

/** The mounts in the kernel's order: of two with the same mount point the later one is on top. */
export function parseMountInfo(text: string): MountInfo[] {
  return parseWith(text, parseLine);
}

function parseWith(text: string, parse: (line: string) => MountInfo | undefined): MountInfo[] {
  return text
    .split('\n')
    .map(parse)
    .filter((mount) => mount !== undefined);
}

interface Parsed {
  /** In memory of its own. */
  readonly line: string;
  readonly mount: MountInfo;
}

/**
 * A parser that keeps the lines of its last text: of hundreds of mounts only a few change between two reads. It keeps
 * copies of them: V8 cuts strings out of a text by reference, so that one line which stays would keep all of the text
 * that it first came with. With hundreds of pods that is a megabyte for each pod.
 */
export function mountInfoParser(): (text: string) => MountInfo[] {
  let known: ReadonlyMap<string, Parsed> = new Map();
  return (text) => {
    const lines = new Map<string, Parsed>();
    const mounts = parseWith(text, (line) => {
      const parsed = known.get(line) ?? parseCopy(line);
      if (parsed !== undefined) lines.set(parsed.line, parsed);
      return parsed?.mount;
    });
    known = lines;
    return mounts;
  };
}

function parseCopy(line: string): Parsed | undefined {
  const copy = Buffer.from(line).toString();
  const mount = parseLine(copy);
  return mount === undefined ? undefined : { line: copy, mount };
}

const parseAgain = mountInfoParser();

function parseLine(line: string): MountInfo | undefined {
  const fields = line.split(' ');
  // the number of optional fields varies; a single hyphen ends them
  const hyphen = fields.indexOf('-', 6);
  const [id, parentId, device, root, mountPoint, options] = fields;
  const [fsType, source, superOptions] = fields.slice(hyphen + 1);
  if (
    hyphen < 0 ||
    id === undefined ||
    parentId === undefined ||
    device === undefined ||
    fsType === undefined
  )
    return undefined;
  const tags = fields.slice(6, hyphen);
  return {
    id: Number(id),
    parentId: Number(parentId),
    device,
    root: unescape(root ?? ''),
    mountPoint: unescape(mountPoint ?? ''),
    options: (options ?? '').split(','),
    ...group('sharedGroup', 'shared:', tags),
    ...group('masterGroup', 'master:', tags),
    isUnbindable: tags.includes('unbindable'),
    fsType: unescape(fsType),
    source: unescape(source ?? ''),
    superOptions: unescape(superOptions ?? '').split(','),
  };
}

function group<K extends 'sharedGroup' | 'masterGroup'>(
  key: K,
  prefix: string,
  tags: readonly string[],
): { [P in K]?: number } {
  const tag = tags.find((candidate) => candidate.startsWith(prefix));
  return tag === undefined ? {} : ({ [key]: Number(tag.slice(prefix.length)) } as { [P in K]: number });
}

/** The kernel writes space, tab, newline, backslash and # as three octal digits (mangle in fs/seq_file.c). */
function unescape(text: string): string {
  return !text.includes('\\')
    ? text
    : text.replace(/\\([0-7]{3})/gu, (_all, digits: string) =>
        String.fromCharCode(Number.parseInt(digits, 8)),
      );
}

/**
 * The mounts that this process sees now. Callers share a read that begins after their call, never one in progress,
 * which may already be past the mount in question. With thousands of mounts it takes 10 ms: for the file system of a
 * path there is `readMountPlaces`.
 */
export const readMountInfo: () => Promise<readonly MountInfo[]> = sharedRead(async () => {
  const text = await askKernelThread(
    { kind: 'mountInfo' },
    { attempted: 'read the mounts', subject: '/proc/self/mountinfo' },
  );
  return parseAgain(String(text));
});

/**
 * The mount that a path lies on: the longest mount point above it; of equal ones the last, which is on top.
 */
export function mountOver(path: string, mounts: readonly MountInfo[]): MountInfo | undefined {
  let found: MountInfo | undefined;
  for (const mount of mounts) {
    const { mountPoint } = mount;
    const isAbove = mountPoint === '/' || path === mountPoint || path.startsWith(`${mountPoint}/`);
    if (isAbove && (found === undefined || mountPoint.length >= found.mountPoint.length)) found = mount;
  }
  return found;
}

/** The topmost mount at exactly this path; undefined when nothing is mounted there. */
export function findMount(mounts: readonly MountInfo[], path: string): MountInfo | undefined {
  return mounts.findLast((mount) => mount.mountPoint === path);
}

/**
 * Without those that no path leads to, since a later mount covers what they lie on. Where a directory was bound on
 * itself, as hosts do with /var, each mount below it propagates to what it covers, too ("Shared subtrees",
 * mount_namespaces(7)): it is listed twice, with the same mount point.
 */
export function visibleMounts(mounts: readonly MountInfo[]): readonly MountInfo[] {
  const byPoint = Map.groupBy(mounts, ({ mountPoint }) => mountPoint);
  const visible: MountInfo[] = [];
  for (const point of [...byPoint.keys()].toSorted((a, b) => a.length - b.length)) {
    const there = byPoint.get(point) ?? [];
    const below = there.length > 1 && point !== '/' ? mountOver(dirname(point), visible) : undefined;
    // a stack, from the one that lies on what is visible there to the topmost
    let next = there.find(({ parentId }) => parentId === below?.id);
    if (next === undefined) visible.push(...there);
    for (; next !== undefined; next = there.find(({ parentId }) => parentId === visible.at(-1)?.id))
      visible.push(next);
  }
  const kept = new Set(visible);
  return mounts.filter((mount) => kept.has(mount));
}
