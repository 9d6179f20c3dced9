/** Starts, watches and ends the processes of fuse-overlayfs. */
import { join } from 'node:path';
import type { IdMapping } from '../../../../ports/specs.ts';
import { fail } from '../../../../base/fault.ts';
import { storageLimits } from '../../../bounds.ts';
import { isMountPoint } from '../../../../host/mounts/mount-point.ts';
import { unmount } from '../../../../host/mounts/mounts.ts';
import { processExists } from '../../../../host/process/process-identity.ts';
import type { HostIdentity } from '../../../../host/process/process-identity.ts';
import { killTree } from '../../../../host/process/process-kill.ts';
import { spawnProcess } from '../../../../host/process/process.ts';
import type { Child } from '../../../../host/process/process.ts';
import { watchProcess } from '../../../../host/process/watch.ts';
import { pause } from '../../../../host/clock/wait.ts';
import type { RootfsPaths } from '../records/layer-layout.ts';
import { namesIn } from '../records/names-in.ts';
import { helpersAt, makeHelpersDir, openLog, readLog, writeMountNote } from './fuse-files.ts';
import type { Helper } from './fuse-files.ts';
import { endStarts } from './fuse-starts.ts';
import type { DriverHost, RootRequest } from './rootfs-driver.ts';

export interface HelperOptions {
  /** Absolute path of fuse-overlayfs. */
  readonly program: string;
  /** Moves a process into a cgroup, which is created if missing. */
  readonly moveToCgroup: (pid: number, cgroup: string) => Promise<void>;
}

export class Helpers {
  readonly #host: DriverHost;
  readonly #options: HelperOptions;
  /** Processes that were killed before they had mounted but do not exit. */
  #stuck: readonly Helper[] = [];

  constructor(host: DriverHost, options: HelperOptions) {
    this.#host = host;
    this.#options = options;
  }

  /** Starts a process and waits until it has mounted. A failure leaves neither process nor mount. */
  async serve(request: RootRequest, name: string, target: string, options: readonly string[]): Promise<void> {
    const { paths, label, owners, attempted } = request;
    await makeHelpersDir(paths.dir);
    const own =
      owners === undefined
        ? []
        : [
            mappingOption('uidmapping', owners.mappings.uids),
            mappingOption('gidmapping', owners.mappings.gids),
          ];
    const all = [
      ...options,
      ...own,
      'allow_other',
      ...(label === undefined ? [] : [`context="${label}"`]),
    ].join(',');
    // log to a file: a pipe would break when the daemon exits, and the next daemon finds a process without a note by
    // its log (fuse-starts.ts)
    const log = await openLog(paths.dir, name);
    try {
      const child = await spawnProcess({
        argv: [this.#options.program, '-f', '-o', all, target],
        env: {},
        isHelper: false,
        stdout: log.fd,
        stderr: log.fd,
      });
      if (await this.#hasMounted(child, request, name, target)) return this.#watch(child.identity, target);
    } finally {
      await log.close();
    }
    const output = await readLog(paths.dir, name);
    fail(
      'outside',
      `${attempted}: ${this.#options.program} did not mount: ${output === '' ? 'no output' : output}`,
    );
  }

  /** Waits for the mount and then writes the note. From then on the process does not depend on the daemon. */
  async #hasMounted(
    child: Child,
    { paths, cgroup }: RootRequest,
    name: string,
    target: string,
  ): Promise<boolean> {
    let isServing = false;
    try {
      if (cgroup !== undefined) await this.#options.moveToCgroup(child.pid, cgroup);
      let hasEnded = false;
      void child.exited.then(() => (hasEnded = true));
      if (
        !(await this.#until(
          () => isMountPoint(target),
          storageLimits.fuseMountMs,
          () => hasEnded,
        ))
      )
        return false;
      await writeMountNote(paths.dir, name, child.identity);
      isServing = true;
      return true;
    } finally {
      if (!isServing) await this.#giveUp({ identity: child.identity, target });
    }
  }

  async #giveUp(helper: Helper): Promise<void> {
    const left = await killTree(helper.identity, this.#host.clock);
    if (left.length > 0) this.#stuck = [...this.#stuck.filter(isRunning), helper];
    await unmount(helper.target, { lazy: true });
  }

  /** As `RootfsDriver.takeOver`. */
  async takeOver(): Promise<void> {
    const { paths, clock, log } = this.#host;
    const { ended, left } = await endStarts(paths, clock);
    for (const { identity, target } of ended)
      log.info(
        { pid: identity.pid, mount: target },
        'ended fuse-overlayfs process that an earlier daemon was starting',
      );
    for (const { identity, target } of left)
      log.error(
        { pid: identity.pid, mount: target },
        'kill fuse-overlayfs process that an earlier daemon was starting: it does not exit; its container cannot be removed until it does',
      );
    this.#stuck = left;
  }

  /** Waits, after the unmounts, for the processes to exit. One whose files are still in use keeps running. */
  async ended(paths: RootfsPaths): Promise<void> {
    for (const { identity } of await helpersAt(paths.dir)) {
      await this.#until(
        () => Promise.resolve(!processExists(identity)),
        storageLimits.fuseEndMs,
        () => false,
      );
    }
  }

  /**
   * Kills all processes of a container. Throws `timedOut` with the pids of those that do not exit, since they may still
   * mount.
   */
  async kill({ dir }: RootfsPaths): Promise<void> {
    const stuck = this.#stuck.filter(({ target }) => target.startsWith(`${dir}/`));
    const helpers = [...(await helpersAt(dir)), ...stuck];
    for (const { identity } of helpers)
      if (processExists(identity)) await killTree(identity, this.#host.clock);
    const left = helpers.filter(isRunning).map(({ identity }) => identity.pid);
    if (left.length > 0)
      fail(
        'timedOut',
        `remove ${dir}: timed out waiting for killed fuse-overlayfs to exit (pid ${left.join(', ')})`,
        { subject: dir },
      );
    // one may have mounted after the unmounts; the rename to the trash would move its mount along
    for (const { target } of helpers) await unmount(target, { lazy: true });
  }

  /** Watches the processes that an earlier daemon has started. */
  async watchAgain(): Promise<void> {
    const { containers } = this.#host.paths;
    for (const id of await namesIn(containers)) {
      for (const { identity, target } of await helpersAt(join(containers, id))) {
        if (await isMountPoint(target)) this.#watch(identity, target);
      }
    }
  }

  /** Logs when a process exits before its mount is gone: programs in the container then get errors (ENOTCONN). */
  #watch(identity: HostIdentity, target: string): void {
    watchProcess(identity, () => {
      void isMountPoint(target).then(
        (isLeft) => {
          if (isLeft)
            this.#host.log.error(
              { pid: identity.pid, mount: target },
              'fuse-overlayfs process exited while its mount is in use: the root file system is unusable; remove the container',
            );
        },
        () => undefined,
      );
    });
  }

  async #until(isMet: () => Promise<boolean>, ms: number, isHopeless: () => boolean): Promise<boolean> {
    const { clock } = this.#host;
    for (const end = clock.monoMs() + ms; ;) {
      // checked before the last attempt, so that the attempt sees everything the process did
      const isLast = isHopeless() || clock.monoMs() >= end;
      if (await isMet()) return true;
      if (isLast) return false;
      await pause(clock, storageLimits.fusePollMs);
    }
  }
}

function isRunning({ identity }: Helper): boolean {
  return processExists(identity);
}

function mappingOption(
  name: 'uidmapping' | 'gidmapping',
  { containerId, hostId, length }: IdMapping,
): string {
  return `${name}=${containerId}:${hostId}:${length}`;
}
