/**
 * fuse-overlayfs: an overlay implemented by a program, if the kernel's overlayfs cannot be used. Each mount has one
 * process. It outlives the daemon, runs in a cgroup of the pod, and exits when its mount is gone. A note beside the
 * container identifies it to later daemons (fuse-files.ts). A process that had not mounted when its daemon was killed
 * is ended by the next daemon (fuse-starts.ts).
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
  /** Never sync to disk (option `volatile`). */
  readonly isVolatile: () => boolean;
  /** Bytes that one container may write to its root; omitted for no limit. */
  readonly limitBytes?: number | undefined;
}

/** Creates the driver. */
export function fuseOverlayDriver(host: DriverHost, options: FuseOptions): RootfsDriver {
  const helpers = new Helpers(host, options);
  const limit = new ContainerLimit(options.limitBytes);
  return {
    name: 'fuse-overlayfs',
    check: async () => {
      if (!(await isThere('/dev/fuse')))
        fail('invalidRequest', 'use storage driver fuse-overlayfs: /dev/fuse: not found', {
          subject: '/dev/fuse',
        });
      await limit.check(host.paths.containersRoot);
    },
    mountRoot: async (request) => {
      const { paths, layers } = request;
      // the program maps ids itself and stores ids of the pod unchanged, so the owners on disk are those of the image
      await makeUpper(
        { ...request, owners: undefined },
        layers[0] === undefined ? undefined : unpackedTree(layers[0]),
        limit,
      );
      const written = [
        `upperdir=${optionPath(paths.upper)}`,
        `workdir=${optionPath(paths.work)}`,
        ...(options.isVolatile() ? ['volatile'] : []),
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
    removingRoot: async (paths, id) => {
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

/** Refuses paths with these characters, since versions of the program differ in how to escape them. */
function optionPath(path: string): string {
  return /[,:\\]/u.test(path)
    ? fail('unsupported', `pass ${path} to fuse-overlayfs: the path has a comma, colon or backslash`, {
        subject: path,
      })
    : path;
}
