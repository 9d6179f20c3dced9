/** The processes of fuse-overlayfs: started, waited for, watched, ended. */
import { join } from 'node:path';
import type { IdMapping } from '../../../../ports/specs.ts';
import { fail } from '../../../../base/fault.ts';
import { storageLimits } from '../../../bounds.ts';
import { isMountPoint } from '../../../../host/mounts/mount-point.ts';
import { unmount } from '../../../../host/mounts/mounts.ts';
import { processExists } from '../../../../host/process/process-identity.ts';
import type { ProcessIdentity } from '../../../../host/process/process-identity.ts';
import { killTree } from '../../../../host/process/process-kill.ts';
import { spawnProcess } from '../../../../host/process/process.ts';
import type { Child } from '../../../../host/process/process.ts';
import { watchProcess } from '../../../../host/process/watch.ts';
import { pause } from '../../../../host/clock/wait.ts';
import type { RootfsPaths } from '../records/layer-layout.ts';
import { namesIn } from '../records/names-in.ts';
import { helpersAt, makeHelpersDir, openLog, readLog, writeNote } from './fuse-files.ts';
import type { Helper } from './fuse-files.ts';
import { endStarts } from './fuse-starts.ts';
import type { DriverHost, RootRequest } from './rootfs-driver.ts';

export interface HelperOptions {
  /** fuse-overlayfs, an absolute path. */
  readonly program: string;
  /** Puts a process into a cgroup, which is made where it is missing. */
  readonly place: (pid: number, cgroup: string) => Promise<void>;
}

export class Helpers {
  readonly #host: DriverHost;
  readonly #options: HelperOptions;
  /** Killed before they had mounted, but they do not end. */
  #stuck: readonly Helper[] = [];

  constructor(host: DriverHost, options: HelperOptions) {
    this.#host = host;
    this.#options = options;
  }

  /** Starts one and waits until it has mounted. A failure leaves neither process nor mount. */
  async serve(request: RootRequest, name: string, target: string, wished: readonly string[]): Promise<void> {
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
      ...wished,
      ...own,
      'allow_other',
      ...(label === undefined ? [] : [`context="${label}"`]),
    ].join(',');
    // a file: a pipe to us would break with us; and by it the next daemon finds one that has no note (fuse-starts.ts)
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
    const words = await readLog(paths.dir, name);
    fail(
      'outside',
      `${attempted}: ${this.#options.program} has mounted nothing: ${words === '' ? 'it says nothing' : words}`,
    );
  }

  /** Waits for the mount; then its note is written, and from then on it goes on without us. */
  async #hasMounted(
    child: Child,
    { paths, cgroup }: RootRequest,
    name: string,
    target: string,
  ): Promise<boolean> {
    let isServing = false;
    try {
      if (cgroup !== undefined) await this.#options.place(child.pid, cgroup);
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
      await writeNote(paths.dir, name, child.identity);
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
        'ended a fuse-overlayfs that an earlier daemon was starting',
      );
    for (const { identity, target } of left)
      log.error(
        { pid: identity.pid, mount: target },
        'a fuse-overlayfs that an earlier daemon was starting was killed and does not end; its container can not be removed until it does',
      );
    this.#stuck = left;
  }

  /** After the mounts: they end by themselves, but one whose files somebody still uses goes on for them. */
  async ended(paths: RootfsPaths): Promise<void> {
    for (const { identity } of await helpersAt(paths.dir)) {
      await this.#until(
        () => Promise.resolve(!processExists(identity)),
        storageLimits.fuseEndMs,
        () => false,
      );
    }
  }

  /** Its files go. Throws `timedOut` with the pids of those that do not end: their mounts may still come. */
  async kill({ dir }: RootfsPaths): Promise<void> {
    const stuck = this.#stuck.filter(({ target }) => target.startsWith(`${dir}/`));
    const helpers = [...(await helpersAt(dir)), ...stuck];
    for (const { identity } of helpers)
      if (processExists(identity)) await killTree(identity, this.#host.clock);
    const left = helpers.filter(isRunning).map(({ identity }) => identity.pid);
    if (left.length > 0)
      fail(
        'timedOut',
        `remove ${dir}: fuse-overlayfs was killed and does not end: process ${left.join(', ')}`,
        { subject: dir },
      );
    // one that mounted after everything was taken off: the directory would take its mount along to the trash
    for (const { target } of helpers) await unmount(target, { lazy: true });
  }

  /** Those of an earlier daemon. */
  async watchAgain(): Promise<void> {
    const { containers } = this.#host.paths;
    for (const id of await namesIn(containers)) {
      for (const { identity, target } of await helpersAt(join(containers, id))) {
        if (await isMountPoint(target)) this.#watch(identity, target);
      }
    }
  }

  /** Tells of one that ends before its mount: whoever works in there gets errors (ENOTCONN) from then on. */
  #watch(identity: ProcessIdentity, target: string): void {
    watchProcess(identity, () => {
      void isMountPoint(target).then(
        (isLeft) => {
          if (isLeft)
            this.#host.log.error(
              { pid: identity.pid, mount: target },
              'fuse-overlayfs has ended below a container: its root file system can not be used any more; remove the container',
            );
        },
        () => undefined,
      );
    });
  }

  async #until(isMet: () => Promise<boolean>, ms: number, isHopeless: () => boolean): Promise<boolean> {
    const { clock } = this.#host;
    for (const end = clock.monoMs() + ms; ;) {
      // looked at before the last try, which then sees all that it did
      const isLast = isHopeless() || clock.monoMs() >= end;
      if (await isMet()) return true;
      if (isLast) return false;
      await pause(clock, storageLimits.fuseLookMs);
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
