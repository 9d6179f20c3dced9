/**
 * Finds everything on the machine that has the mark of one instance: a path below its two directories, a cgroup's name
 * below its parents, its state root on a command line, or its network's name in a rule.
 */
import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Digest, SandboxId, SandboxOrContainerId } from '../../base/ids.ts';
import { parseDigest, parseSandboxId } from '../../base/ids.ts';
import { cgroupDirectories } from '../../host/cgroups/cgroup-layout.ts';
import type { CgroupLayout } from '../../host/kernel-thread/thread-protocol.ts';
import { listProcesses } from '../../host/cgroups/cgroups.ts';
import { missingAs } from '../../host/ffi/errno.ts';
import type { Layout } from '../../host/sandbox/layout.ts';
import { readMountInfo, visibleMounts } from '../../host/mounts/mountinfo.ts';
import { namesIfDirectory } from '../../host/files/names-of.ts';
import { isNamespacePin } from '../../host/namespaces/namespaces.ts';
import { bootId } from '../../host/files/boot-id.ts';
import { statAtOnce } from '../../host/process/process-identity.ts';
import { hasEnded, listStatuses } from '../../host/process/process-status.ts';
import { isOfHost } from '../../host/process/process-owner.ts';
import { commandLine } from '../../host/process/command-line.ts';
import { eventsSocket } from '../../oci/runtime/shim/launch.ts';
import { layerDir, storePaths } from '../../oci/images/store/records/layer-layout.ts';
import type { StorePaths } from '../../oci/images/store/records/layer-layout.ts';
import { readLayerRecord } from '../../oci/images/store/records/layer-record.ts';
import { seenNetworks } from './machine-network.ts';
import type { Lease, NetworkPlace, NatRule, SeenMasquerade, Unread } from './machine-network.ts';

export interface SeenProcess {
  readonly pid: number;
  /** Undefined where it can't be read (StartTicks). */
  readonly startTicks: number | undefined;
  readonly id: SandboxOrContainerId;
  /**
   * `monitor` of a container, `exec` monitor, `runtime` call, `helper` that serves a root file system, or another
   * process of a `cgroup` of ours.
   */
  readonly role: 'monitor' | 'exec' | 'runtime' | 'helper' | 'cgroup';
  readonly name: string;
}

export interface SeenCgroup {
  /** Relative to each hierarchy's root. */
  readonly path: string;
  readonly id: SandboxOrContainerId;
  /** The scope of a program that serves the container's root file system. */
  readonly isHelpers?: true;
}

export interface SeenMount {
  readonly path: string;
  /** Undefined for a path below our directories without an id. */
  readonly id: SandboxOrContainerId | undefined;
  /** A layer's mount, which all containers share and which is removed only with the layer. */
  readonly isLayer?: true;
  /** gVisor's: all its containers share it, and it stays with the runtime's state directory. */
  readonly isGofers?: true;
}

export interface SeenEntry {
  readonly path: string;
  /** Purpose of the directory, for messages: `bundle`, `exit file`, … */
  readonly kind: string;
  /** Undefined if its name is not an id. */
  readonly id: SandboxOrContainerId | undefined;
}

export interface SeenLayer {
  readonly diffId: Digest;
  readonly path: string;
  readonly isWhole: boolean;
  /** In an additional store, which is only read. */
  readonly isForeign?: true;
}

/**
 * Start times by pid of all live processes, zombies left out; undefined where it can't be read, since the process
 * sleeps for a disk or hangs in execve(2).
 */
export type StartTicks = ReadonlyMap<number, number | undefined>;

/** Whether this process lives; also when that can't be known. */
export function mayLive(
  ticks: StartTicks,
  { pid, startTicks }: Pick<SeenProcess, 'pid' | 'startTicks'>,
): boolean {
  return ticks.has(pid) && (startTicks === undefined || (ticks.get(pid) ?? startTicks) === startTicks);
}

async function readStartTicks(): Promise<StartTicks> {
  const live = (await listStatuses()).filter((status) => !hasEnded(status));
  return new Map(
    live.flatMap((status) => {
      const stat = statAtOnce(status.pid, status);
      return stat === undefined ? [] : [[status.pid, stat === 'unread' ? undefined : stat.startTicks]];
    }),
  );
}

export interface Machine {
  readonly bootId: string;
  readonly startTicks: StartTicks;
  readonly processes: readonly SeenProcess[];
  readonly cgroups: readonly SeenCgroup[];
  readonly mounts: readonly SeenMount[];
  /** Files and directories named by an id. */
  readonly entries: readonly SeenEntry[];
  /** Pins that hold a namespace: `<id>/net`. */
  readonly pins: ReadonlySet<string>;
  /** Unreadable files of the networks; `attachments` and `leases` lack what they name. */
  readonly unread: readonly Unread[];
  /** Sandboxes for which a CNI DEL is pending. */
  readonly attachments: readonly SandboxId[];
  readonly leases: readonly Lease[];
  readonly rules: readonly NatRule[];
  /** As in `SeenNetworks`. */
  readonly masqueraded: readonly SandboxId[];
  readonly masquerades: readonly SeenMasquerade[];
  readonly layers: readonly SeenLayer[];
  readonly partials: readonly string[];
  /** Files of partial downloads, by hex of the blob's digest. */
  readonly ingests: readonly string[];
  readonly trash: readonly string[];
}

export interface MachinePlace extends NetworkPlace {
  readonly layout: Layout;
  readonly cgroups: CgroupLayout;
  /** Cgroup parents: the configured one and those of the records. */
  readonly cgroupParents: readonly string[];
}

/** Reads all of it; changes nothing. */
export async function inspectMachine(place: MachinePlace): Promise<Machine> {
  const { layout } = place;
  const startTicks = await readStartTicks();
  const others = await idsOfNeighbours(place);
  const [cgroups, mounts, entries, pins, network, layers] = await Promise.all([
    seenCgroups(place, others),
    seenMounts(place),
    seenEntries(layout),
    seenPins(layout),
    seenNetworks(place),
    seenLayers(place),
  ]);
  const { partial, ingest, trash, containersTrash } = placesOfStore(place);
  return {
    bootId: bootId(),
    startTicks,
    processes: await seenProcesses(place, startTicks, cgroups),
    cgroups,
    mounts,
    entries,
    pins,
    unread: network.unread,
    attachments: network.attachments,
    leases: network.leases.filter(({ id }) => id === undefined || !others.has(id)),
    rules: network.rules.filter(({ id }) => !others.has(id)),
    masqueraded: network.masqueraded,
    masquerades: network.masquerades,
    layers,
    partials: (await namesIfDirectory(partial)).map((name) => join(partial, name)),
    ingests: (await namesIfDirectory(ingest)).map((name) => join(ingest, name)),
    trash: (
      await Promise.all(
        [...new Set([trash, containersTrash])].map(async (path) =>
          (await namesIfDirectory(path)).map((name) => join(path, name)),
        ),
      )
    ).flat(),
  };
}

/** The first id in a text. */
function idIn(text: string): SandboxOrContainerId | undefined {
  return parseSandboxId(/(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])/u.exec(text)?.[0] ?? '');
}

async function seenProcesses(
  place: MachinePlace,
  ticks: StartTicks,
  cgroups: readonly SeenCgroup[],
): Promise<SeenProcess[]> {
  const found = new Map<number, SeenProcess>();
  const rootPrefix = `--root=${place.layout.runtimesDir}/`;
  const shims = eventsSocket(place.layout);
  for (const [pid, startTicks] of ticks) {
    if (startTicks === undefined) continue;
    const argv = commandLine(pid);
    // one argument must be a state root of this instance, or its socket for shims. Any process can have such an
    // argument, so isOfHost checks that it is the host's
    const id = argv.some((word) => word.startsWith(rootPrefix) || word === shims)
      ? argv.map(wholeId).find((word) => word !== undefined)
      : undefined;
    if (id !== undefined && isOfHost(pid))
      found.set(pid, { pid, startTicks, id, role: roleOf(argv), name: argv[0] ?? '' });
  }
  for (const { path, id, isHelpers } of cgroups) {
    const role = isHelpers === true ? 'helper' : 'cgroup';
    for (const pid of await listProcesses(place.cgroups, path)) {
      if (!ticks.has(pid) || found.has(pid)) continue;
      const startTicks = ticks.get(pid);
      const name = startTicks === undefined ? '' : (commandLine(pid)[0] ?? '');
      found.set(pid, { pid, startTicks, id, role, name });
    }
  }
  return [...found.values()];
}

function wholeId(word: string): SandboxOrContainerId | undefined {
  return parseSandboxId(word);
}

function roleOf(argv: readonly string[]): SeenProcess['role'] {
  if (argv.includes('--exec-process-spec')) return 'exec';
  return argv.includes('--exit-dir') ? 'monitor' : 'runtime';
}

/** The forms of src/host/sandbox/layout.ts: those of the cgroupfs driver, and scopes. */
const CGROUP =
  /^troupe-(?:(?:sandbox-)?([0-9a-f]{64})|(?:(?:pause|vm)-)?([0-9a-f]{64})\.scope|fuse-([0-9a-f]{64})-\d+\.scope)$/u;

/** The cgroup of ours with this name at this path; undefined for one that has not the form of our names. */
export function seenCgroup(path: string): SeenCgroup | undefined {
  const [, plain, scope, helpers] = CGROUP.exec(basename(path)) ?? [];
  const id = parseSandboxId(plain ?? scope ?? helpers ?? '');
  if (id === undefined) return undefined;
  return helpers === undefined ? { path, id } : { path, id, isHelpers: true };
}

async function seenCgroups(
  { cgroups, cgroupParents }: MachinePlace,
  others: ReadonlySet<SandboxOrContainerId>,
): Promise<SeenCgroup[]> {
  const found = new Map<string, SeenCgroup>();
  for (const parent of new Set(cgroupParents)) {
    for (const directory of cgroupDirectories(cgroups, parent)) {
      for (const name of await namesIfDirectory(directory)) {
        const cgroup = seenCgroup(join(parent, name));
        if (cgroup !== undefined && !others.has(cgroup.id)) found.set(cgroup.path, cgroup);
      }
    }
  }
  return [...found.values()];
}

/**
 * What runs below another root with the same cgroup parent or network (F84), of troupe or of another runtime: a sandbox
 * has its /dev/shm or its pins mounted, a container its root file system, at paths with their ids. Every other cgroup
 * below the parent, lease and rule is taken for one of ours.
 */
async function idsOfNeighbours(place: MachinePlace): Promise<ReadonlySet<SandboxOrContainerId>> {
  const ours = await directoriesOf(place);
  const [own, others] = [new Set<SandboxOrContainerId>(), new Set<SandboxOrContainerId>()];
  for (const { mountPoint } of await readMountInfo()) {
    const id = idIn(mountPoint);
    if (id !== undefined)
      (ours.some((directory) => mountPoint.startsWith(`${directory}/`)) ? own : others).add(id);
  }
  // found twice if the administrator has mounted our directories at a second path
  return new Set([...others].filter((id) => !own.has(id)));
}

/** The real path, as the kernel reports it. */
function directoriesOf(place: MachinePlace): Promise<string[]> {
  return Promise.all([place.layout.root, place.layout.state, placesOfStore(place).root].map(real));
}

/** Name of the empty network namespace of gVisor's gofers in a runtime's state directory. */
const GOFERS_NETNS = 'null-netns';

/**
 * Whether a runtime keeps the file for all its containers: crun has compiled seccomp filters in `.cache`. No id begins
 * with a dot.
 */
const isOfRuntime = (name: string): boolean => name === GOFERS_NETNS || name.startsWith('.');

async function seenMounts(place: MachinePlace): Promise<SeenMount[]> {
  const { layout } = place;
  const { chains } = placesOfStore(place);
  const [ours, pins, layers, roots] = await Promise.all([
    directoriesOf(place),
    real(layout.pinsDir),
    real(chains),
    real(layout.runtimesDir),
  ]);
  const runtimes = (await namesIfDirectory(roots)).map((name) => join(roots, name));
  // the directories themselves may be the administrator's mounts; the pin root is always a mount
  return visibleMounts(await readMountInfo()).flatMap(({ mountPoint }): SeenMount[] => {
    const isBelow =
      ours.some((directory) => mountPoint.startsWith(`${directory}/`)) && !ours.includes(mountPoint);
    if (!isBelow || mountPoint === pins) return [];
    if (mountPoint.startsWith(`${layers}/`))
      return [{ path: mountPoint, id: undefined, isLayer: true as const }];
    const isGofers = runtimes.includes(dirname(mountPoint)) && basename(mountPoint) === GOFERS_NETNS;
    return [{ path: mountPoint, id: idIn(mountPoint), ...(isGofers ? { isGofers } : {}) }];
  });
}

/** The layer store of the configuration. */
export function placesOfStore({ config, layout }: Pick<MachinePlace, 'config' | 'layout'>): StorePaths {
  return storePaths(
    config.storage.image_store === '' ? layout.root : config.storage.image_store,
    layout.root,
  );
}

async function real(path: string): Promise<string> {
  return missingAs(realpath(path), path);
}

/** Files named by an id, and whatever else lies where only such files belong. */
export async function seenEntries(layout: Layout): Promise<SeenEntry[]> {
  const runtimes = (await namesIfDirectory(layout.runtimesDir)).map((name) => join(layout.runtimesDir, name));
  const places: readonly (readonly [string, string])[] = [
    [layout.containersDir, 'bundle'],
    [layout.exitsDir, 'exit file'],
    [layout.sandboxesDir, 'sandbox files'],
    [layout.pinsDir, 'namespace pins'],
    ...runtimes.map((path) => [path, "runtime's state"] as const),
    [layout.rootfsesDir, 'root file system'],
    [join(layout.root, 'logs'), 'logs'],
  ];
  const found: SeenEntry[] = [];
  for (const [directory, kind] of places) {
    for (const name of await namesIfDirectory(directory)) {
      // gVisor's files and our records beside a directory of a runtime: the id with something behind it
      const isState = runtimes.includes(directory);
      if (isState && isOfRuntime(name)) continue;
      found.push({ path: join(directory, name), kind, id: isState ? idIn(name) : parseSandboxId(name) });
    }
  }
  return found;
}

async function seenPins(layout: Layout): Promise<ReadonlySet<string>> {
  const held = new Set<string>();
  for (const id of await namesIfDirectory(layout.pinsDir)) {
    for (const kind of await namesIfDirectory(join(layout.pinsDir, id))) {
      if (await isNamespacePin(join(layout.pinsDir, id, kind))) held.add(`${id}/${kind}`);
    }
  }
  return held;
}

async function seenLayers(place: MachinePlace): Promise<SeenLayer[]> {
  const own = await layersIn(placesOfStore(place));
  const others = await Promise.all(
    place.config.storage.additional_stores.map((root) => layersIn(storePaths(root))),
  );
  return [...own, ...others.flat().map((layer) => ({ ...layer, isForeign: true as const }))];
}

async function layersIn(paths: StorePaths): Promise<SeenLayer[]> {
  const layers: SeenLayer[] = [];
  for (const name of await namesIfDirectory(paths.layers)) {
    const diffId = parseDigest(`sha256:${name}`);
    if (diffId === undefined) continue;
    const path = layerDir(paths, diffId);
    layers.push({
      diffId,
      path,
      isWhole: (await readLayerRecord(path, diffId, (call) => call())) !== undefined,
    });
  }
  return layers;
}
