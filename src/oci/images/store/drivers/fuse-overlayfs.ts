/**
 * fuse-overlayfs: an overlay made by a program, for kernels and file systems whose own can't be used. One process for
 * each mount, which outlives the daemon, lives in the pod's cgroup for monitors, and ends with its mount. Who it is
 * stands beside the container, for the daemon that comes after (fuse-files.ts); one that had not mounted when its daemon
 * was killed is ended by that (fuse-starts.ts).
 */
import { fail } from '../../../../base/fault.ts';
import { isThere } from '../../../../host/files/is-there.ts';
import { ContainerLimit } from './container-limit.ts';
import { unpackedLayers } from './copied-tree.ts';
import { emptyLower } from './empty-lower.ts';
import { ROOT } from './fuse-files.ts';
import { Helpers } from './fuse-helpers.ts';
import type { HelperOptions } from './fuse-helpers.ts';
import { makeUpper, unpackedTree } from './overlay.ts';
import type { DriverHost, RootRequest, RootfsDriver } from './rootfs-driver.ts';

export interface FuseOptions extends HelperOptions {
  /** Nothing is synced to the disk. */
  readonly isVolatile: boolean;
  /** Bytes that one container may write to its root; left out for no limit. */
  readonly limitBytes?: number | undefined;
}

/** The driver. */
export function fuseOverlayDriver(host: DriverHost, options: FuseOptions): RootfsDriver {
  const helpers = new Helpers(host, options);
  const limit = new ContainerLimit(options.limitBytes);
  return {
    name: 'fuse-overlayfs',
    check: async () => {
      if (!(await isThere('/dev/fuse')))
        fail('invalidRequest', 'use storage driver fuse-overlayfs: there is no /dev/fuse', {
          subject: '/dev/fuse',
        });
      await limit.check(host.paths.containersRoot);
    },
    mountRoot: async (request) => {
      const { paths, layers } = request;
      // the program stores what belongs to id n of the pod as n: the owners on the disk are those of the image
      await makeUpper(
        { ...request, owners: undefined },
        layers[0] === undefined ? undefined : unpackedTree(layers[0]),
        limit,
      );
      const written = [
        `upperdir=${optionPath(paths.upper)}`,
        `workdir=${optionPath(paths.work)}`,
        ...(options.isVolatile ? ['volatile'] : []),
      ];
      await helpers.serve(request, ROOT, paths.rootfs, [
        ...(await lowerOption(request)),
        ...written,
        'suid',
        'dev',
      ]);
    },
    mountVolume: async (request) =>
      helpers.serve(request, request.name, request.target, [
        ...(await lowerOption(request)),
        'ro',
        'nosuid',
        'nodev',
        'noexec',
      ]),
    unmounted: (paths) => helpers.ended(paths),
    removing: async (paths, id) => {
      await helpers.kill(paths);
      await limit.release(id, paths.dir);
    },
    takeOver: () => helpers.takeOver(),
    recover: () => helpers.watchAgain(),
  };
}

async function lowerOption({ layers, paths }: RootRequest): Promise<string[]> {
  const lower = unpackedLayers(layers).toReversed();
  return [`lowerdir=${(lower.length === 0 ? [await emptyLower(paths)] : lower).map(optionPath).join(':')}`];
}

/** The program's own escapes are not the same in all versions: paths with these are for other drivers. */
function optionPath(path: string): string {
  return /[,:\\]/u.test(path)
    ? fail('unsupported', `give fuse-overlayfs the path ${path}: it holds a comma, a colon or a backslash`, {
        subject: path,
      })
    : path;
}
