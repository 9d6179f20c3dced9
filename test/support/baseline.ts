// What a machine has of the kinds that a container runtime makes, before and after: for "nothing is left" assertions.
// Read from /proc and /sys, so that a snapshot changes nothing; only the packet filter has to be asked by its own tool.
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { run } from './run.ts';
import { EVENT_MS } from './patience.ts';

/** The kinds, each with its entries as readable lines; the same entry can be there several times. */
export interface Machine {
  readonly mounts: readonly string[];
  readonly links: readonly string[];
  readonly cgroups: readonly string[];
  readonly processes: readonly string[];
  readonly listeners: readonly string[];
  readonly packetRules: readonly string[];
  /** Address leases and cached results of CNI, named network namespaces. */
  readonly networkFiles: readonly string[];
}

/** Processes that can be a runtime's, where the caller doesn't say which are: by name, arguments or cgroup. */
const RUNTIME_WORDS = ['troupe', 'conmon', 'runc', 'crun', 'bridge', 'portmap', 'host-local'] as const;

const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '');
const readOr = async (path: string): Promise<string> => await readFile(path, 'utf8').catch(() => '');
const listOr = async (path: string): Promise<string[]> => await readdir(path).catch(() => []);

/** proc(5), /proc/pid/mountinfo: mount point is the fifth field; type and source follow the lone dash. */
async function mounts(): Promise<string[]> {
  return linesOf(await readFile('/proc/self/mountinfo', 'utf8')).map((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root = '', point = ''] = before.split(' ');
    const [type = '', source = ''] = after.split(' ');
    return `${point} ${type} ${source} ${root}`;
  });
}

async function directoriesBelow(path: string, prefix = ''): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  const found: string[] = [];
  for (const entry of entries) {
    if (!entry.isDirectory()) continue;
    const name = `${prefix}/${entry.name}`;
    found.push(name, ...(await directoriesBelow(join(path, entry.name), name)));
  }
  return found;
}

async function processes(): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await listOr('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const commandLine = (await readOr(`/proc/${pid}/cmdline`)).replaceAll('\0', ' ').trim();
    // Kernel threads have none, and a process that ended during the scan is not there.
    const executable = await readlink(`/proc/${pid}/exe`).catch(() => '');
    const state = /^State:\s+(\w)/m.exec(await readOr(`/proc/${pid}/status`))?.[1];
    if (state === undefined || (executable === '' && state !== 'Z')) continue;
    const name = (await readOr(`/proc/${pid}/comm`)).trim();
    const cgroups = new Set(
      linesOf(await readOr(`/proc/${pid}/cgroup`)).map((line) => line.slice(line.lastIndexOf(':') + 1)),
    );
    found.push(
      `${name}${state === 'Z' ? ' (zombie)' : ''} [${commandLine.slice(0, 300)}] in ${[...cgroups].join(' ')}`,
    );
  }
  return found;
}

/** proc(5), /proc/net/tcp: state 0A is LISTEN; the address is in the machine's byte order, the port is not. */
async function listeners(): Promise<string[]> {
  const found: string[] = [];
  for (const protocol of ['tcp', 'tcp6']) {
    for (const line of linesOf(await readOr(`/proc/net/${protocol}`)).slice(1)) {
      const [, local = '', , state] = line.trim().split(/\s+/);
      const [address = '', port = ''] = local.split(':');
      if (state === '0A') found.push(`${protocol} ${address} port ${Number.parseInt(port, 16)}`);
    }
  }
  return found;
}

async function packetRules(): Promise<string[]> {
  const found: string[] = [];
  for (const tool of ['iptables-save', 'ip6tables-save']) {
    const { stdout } = await run([tool]).catch(() => ({ stdout: '' }));
    // Comments hold the time, chain heads their counters.
    for (const line of linesOf(stdout))
      if (!line.startsWith('#')) found.push(`${tool}: ${line.replace(/ \[\d+:\d+\]$/, '')}`);
  }
  // those of iptables are above
  const { stdout } = await run(['nft', 'list', 'tables']).catch(() => ({ stdout: '' }));
  for (const line of linesOf(stdout)) if (line.includes('troupe-')) found.push(`nft: ${line}`);
  return found;
}

async function networkFiles(): Promise<string[]> {
  const found = (await listOr('/run/netns')).map((name) => `/run/netns/${name}`);
  for (const name of await listOr('/var/lib/cni/results')) found.push(`/var/lib/cni/results/${name}`);
  for (const network of await listOr('/var/lib/cni/networks')) {
    for (const name of await listOr(`/var/lib/cni/networks/${network}`)) {
      // host-local keeps a lock and the last address it gave, whatever is leased.
      if (/^\d|:/.test(name)) found.push(`/var/lib/cni/networks/${network}/${name}`);
    }
  }
  return found;
}

/**
 * What there is now.
 * @param words when given, only entries that hold one of them count: on a machine where others work, too, name the
 *   instance's directories, cgroup parent, bridge and subnet. Container processes are found by their cgroup.
 */
export async function snapshotMachine(words?: readonly string[]): Promise<Machine> {
  const holds =
    (all: readonly string[]) =>
    (entry: string): boolean =>
      all.some((word) => entry.includes(word));
  const ours = words === undefined ? (): boolean => true : holds(words);
  return {
    mounts: (await mounts()).filter(ours),
    links: (await listOr('/sys/class/net')).filter(ours),
    cgroups: [...new Set(await directoriesBelow('/sys/fs/cgroup'))].filter(ours),
    processes: (await processes()).filter(holds(words ?? RUNTIME_WORDS)),
    listeners: (await listeners()).filter(ours),
    packetRules: (await packetRules()).filter(ours),
    networkFiles: (await networkFiles()).filter(ours),
  };
}

/** One line per entry that is more (`+`) or less (`-`) there than before; none when the machine is as it was. */
export function differences(before: Machine, after: Machine): string[] {
  const lines: string[] = [];
  for (const kind of Object.keys(before) as (keyof Machine)[]) {
    const gone = new Map<string, number>();
    for (const entry of before[kind]) gone.set(entry, (gone.get(entry) ?? 0) + 1);
    for (const entry of after[kind]) {
      const count = gone.get(entry) ?? 0;
      if (count > 0) gone.set(entry, count - 1);
      else lines.push(`+ ${kind}: ${entry}`);
    }
    for (const [entry, count] of gone) for (let i = 0; i < count; i += 1) lines.push(`- ${kind}: ${entry}`);
  }
  return lines.sort();
}

/** Between two polls while waiting for the last processes to end. */
const LOOK_AGAIN_MS = 100;

/**
 * Empty once there are no differences, else those left after `EVENT_MS`: what was killed takes a moment to be gone.
 * @param words as for `snapshotMachine`; `before` must have been taken with the same
 * @param isExpected lines that don't count
 */
export async function differencesWhenSettled(
  before: Machine,
  words?: readonly string[],
  isExpected: (line: string) => boolean = () => false,
): Promise<string[]> {
  const deadline = performance.now() + EVENT_MS;
  for (;;) {
    const left = differences(before, await snapshotMachine(words)).filter((line) => !isExpected(line));
    if (left.length === 0 || performance.now() >= deadline) return left;
    await delay(LOOK_AGAIN_MS);
  }
}
