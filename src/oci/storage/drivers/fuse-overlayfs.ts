/**
 * fuse-overlayfs: an overlay made by a program, for kernels and file systems whose own can't be used. One process for
 * each mount, which outlives the daemon, lives in the pod's cgroup for monitors, and ends with its mount. Who it is
 * stands beside the container (`helpers/<name>.json`), for the daemon that comes after.
 */
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { IdMapping } from '../../../actors/ports/specs.ts';
import { fail, printable } from '../../../base/fault.ts';
import { jsonObject } from '../../../base/json-object.ts';
import { storageLimits } from '../../../base/limits.ts';
import { codeOf } from '../../../host/errno.ts';
import { isThere } from '../../../host/is-there.ts';
import { isMountPoint } from '../../../host/mount-point.ts';
import { unmount } from '../../../host/mounts.ts';
import { killTree } from '../../../host/process-kill.ts';
import { processExists } from '../../../host/process-identity.ts';
import type { ProcessIdentity } from '../../../host/process-identity.ts';
import { spawnProcess } from '../../../host/process.ts';
import { watchProcess } from '../../../host/watch.ts';
import { writeWhole } from '../../../host/whole-file.ts';
import type { RootfsPaths } from '../layer-layout.ts';
import { namesIn } from '../names-in.ts';
import { ContainerLimit } from './container-limit.ts';
import { unpackedLayers } from './copied-tree.ts';
import { PRIVATE_MODE } from './modes.ts';
import { makeUpper, unpackedTree } from './overlay.ts';
import type { DriverHost, RootRequest, RootfsDriver } from './rootfs-driver.ts';

export interface FuseOptions {
  /** fuse-overlayfs, an absolute path. */
  readonly program: string;
  /** Nothing is synced to the disk. */
  readonly isVolatile: boolean;
  /** Bytes that one container may write to its root; left out for no limit. */
  readonly limitBytes?: number | undefined;
  /** Puts a process into a cgroup, which is made where it is missing. */
  readonly place: (pid: number, cgroup: string) => Promise<void>;
}

/** Name of the process of a container's own root; others are named after the image. */
const ROOT = 'rootfs';

/** The driver. */
export function fuseOverlayDriver(host: DriverHost, options: FuseOptions): RootfsDriver {
  const helpers = new Helpers(host, options);
  const limit = new ContainerLimit(options.limitBytes);
  return {
    name: 'fuse-overlayfs',
    check: async () => {
      if (!(await isThere('/dev/fuse'))) fail('invalidRequest', 'use storage driver fuse-overlayfs: there is no /dev/fuse', { subject: '/dev/fuse' });
      await limit.check(host.paths.containersRoot);
    },
    mountRoot: async (request) => {
      const { paths, layers } = request;
      // the program stores what belongs to id n of the pod as n: the owners on the disk are those of the image
      await makeUpper({ ...request, owners: undefined }, layers[0] === undefined ? undefined : unpackedTree(layers[0]), limit);
      const written = [`upperdir=${optionPath(paths.upper)}`, `workdir=${optionPath(paths.work)}`, ...(options.isVolatile ? ['volatile'] : [])];
      await helpers.serve(request, ROOT, paths.rootfs, [...lowerOption(request), ...written, 'suid', 'dev']);
    },
    mountVolume: (request) => helpers.serve(request, request.name, request.target, [...lowerOption(request), 'ro', 'nosuid', 'nodev', 'noexec']),
    unmounted: (paths) => helpers.ended(paths),
    removing: async (paths, id) => {
      await helpers.kill(paths);
      await limit.release(id, paths.dir);
    },
    recover: () => helpers.watchAgain(),
  };
}

function lowerOption({ layers, paths }: RootRequest): string[] {
  const lower = unpackedLayers(layers).toReversed();
  return [`lowerdir=${(lower.length === 0 ? [paths.empty] : lower).map(optionPath).join(':')}`];
}

/** The program's own escapes are not the same in all versions: paths with these are for other drivers. */
function optionPath(path: string): string {
  return /[,:\\]/u.test(path) ? fail('unsupported', `give fuse-overlayfs the path ${path}: it holds a comma, a colon or a backslash`, { subject: path }) : path;
}

function mappingOption(name: 'uidmapping' | 'gidmapping', { containerId, hostId, length }: IdMapping): string {
  return `${name}=${containerId}:${hostId}:${length}`;
}

class Helpers {
  readonly #host: DriverHost;
  readonly #options: FuseOptions;

  constructor(host: DriverHost, options: FuseOptions) {
    this.#host = host;
    this.#options = options;
  }

  /** Starts one and waits until it has mounted. */
  async serve(request: RootRequest, name: string, target: string, wished: readonly string[]): Promise<void> {
    const { paths, label, owners, cgroup, attempted } = request;
    const dir = helpersOf(paths);
    await mkdir(dir, { recursive: true, mode: PRIVATE_MODE });
    const own = owners === undefined ? [] : [mappingOption('uidmapping', owners.mappings.uids), mappingOption('gidmapping', owners.mappings.gids)];
    const all = [...wished, ...own, 'allow_other', ...(label === undefined ? [] : [`context="${label}"`])].join(',');
    const said = join(dir, `${name}.log`);
    // a file: a pipe to us would break with us
    const log = openSync(said, 'w', 0o600);
    try {
      const child = await spawnProcess({ argv: [this.#options.program, '-f', '-o', all, target], env: {}, stdout: log, stderr: log });
      await writeWhole(join(dir, `${name}.json`), `${JSON.stringify(child.identity)}\n`, 0o600);
      if (cgroup !== undefined) await this.#options.place(child.pid, cgroup);
      let hasEnded = false;
      void child.exited.then(() => (hasEnded = true));
      if (await this.#until(() => isMountPoint(target), storageLimits.fuseMountMs, () => hasEnded)) return this.#watch(child.identity, target);
      await killTree(child.identity, this.#host.clock);
    } finally {
      closeSync(log);
    }
    await unmount(target, { lazy: true });
    const words = printable((await readFile(said, 'utf8')).slice(0, storageLimits.fuseSaidBytes));
    fail('outside', `${attempted}: ${this.#options.program} has mounted nothing: ${words === '' ? 'it says nothing' : words}`);
  }

  /** After the mounts: they end by themselves, but one whose files somebody still uses goes on for them. */
  async ended(paths: RootfsPaths): Promise<void> {
    for (const { identity } of await helpersAt(paths)) {
      await this.#until(() => Promise.resolve(!processExists(identity)), storageLimits.fuseEndMs, () => false);
    }
  }

  /** Its files go. */
  async kill(paths: RootfsPaths): Promise<void> {
    for (const { identity } of await helpersAt(paths)) if (processExists(identity)) await killTree(identity, this.#host.clock);
  }

  /** Those of an earlier daemon. */
  async watchAgain(): Promise<void> {
    const { containers } = this.#host.paths;
    for (const id of await namesIn(containers)) {
      for (const { identity, target } of await helpersAt({ dir: join(containers, id) })) {
        if (await isMountPoint(target)) this.#watch(identity, target);
      }
    }
  }

  /** Tells of one that ends before its mount: whoever works in there gets errors (ENOTCONN) from then on. */
  #watch(identity: ProcessIdentity, target: string): void {
    watchProcess(identity, () => {
      void isMountPoint(target).then(
        (isLeft) => {
          if (isLeft) this.#host.log.error({ pid: identity.pid, mount: target }, 'fuse-overlayfs has ended below a container: its root file system can not be used any more; remove the container');
        },
        () => undefined,
      );
    });
  }

  async #until(isMet: () => Promise<boolean>, ms: number, isHopeless: () => boolean): Promise<boolean> {
    const { clock } = this.#host;
    for (const end = clock.monoMs() + ms; ; ) {
      // looked at before the last try, which then sees all that it did
      const isLast = isHopeless() || clock.monoMs() >= end;
      if (await isMet()) return true;
      if (isLast) return false;
      await new Promise<void>((resolve) => void clock.setTimeout(resolve, storageLimits.fuseLookMs));
    }
  }
}

function helpersOf(paths: Pick<RootfsPaths, 'dir'>): string {
  return join(paths.dir, 'helpers');
}

interface Helper {
  readonly identity: ProcessIdentity;
  readonly target: string;
}

async function helpersAt(paths: Pick<RootfsPaths, 'dir'>): Promise<Helper[]> {
  const dir = helpersOf(paths);
  const found: Helper[] = [];
  for (const file of await namesIn(dir)) {
    if (!file.endsWith('.json')) continue;
    const name = file.slice(0, -'.json'.length);
    const identity = await identityIn(join(dir, file));
    const target = name === ROOT ? join(paths.dir, ROOT) : join(paths.dir, 'volumes', name);
    if (identity !== undefined) found.push({ identity, target });
  }
  return found;
}

async function identityIn(path: string): Promise<ProcessIdentity | undefined> {
  try {
    const fields = jsonObject(await readFile(path, 'utf8'));
    const [pid, startTicks] = [fields?.['pid'], fields?.['startTicks']];
    return typeof pid === 'number' && typeof startTicks === 'number' ? { pid, startTicks } : undefined;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
