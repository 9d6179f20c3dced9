/**
 * Mounts a pod's network namespace a second time, where plugins can find it. Our own pins are hidden from
 * other processes (src/host/namespaces/namespaces.ts), but the plugins of many networks are thin: they pass
 * CNI_NETNS to a daemon in a container, which sees only the host's /run/netns, by mount propagation
 * (OVN-Kubernetes, Multus, Antrea, Kube-OVN). So the namespace is bind-mounted there, where iproute2,
 * containerd and CRI-O have theirs, from ADD until DEL has succeeded. Removing the mount's file also removes
 * the copies in other mount namespaces.
 */
import { mkdir, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { FaultError, toFault } from '../base/fault.ts';
import type { SandboxId } from '../base/ids.ts';
import { codeOf, onlyAbsent } from '../host/ffi/errno.ts';
import { mountBind, unmount } from '../host/mounts/mounts.ts';
import { isNamespacePin } from '../host/namespaces/namespaces.ts';

export interface NetnsMountOptions {
  /** Our own pin of the namespace. */
  readonly pin: (id: SandboxId) => string;
  /** Absolute; created when it does not exist. Empty: plugins get the path of the pin. */
  readonly directory: string;
}

/**
 * The path of the namespace that plugins get, for a pod with its own network; the pin where no directory is
 * configured.
 */
export function netnsMountPath({ pin, directory }: NetnsMountOptions, id: SandboxId): string {
  return directory === '' ? pin(id) : join(directory, `troupe-${id}`);
}

export class NetnsMounts {
  readonly #options: NetnsMountOptions;

  constructor(options: NetnsMountOptions) {
    this.#options = options;
  }

  /** Mounts the namespace and returns its path; empty when the namespace is gone. Repeatable. */
  async mount(id: SandboxId): Promise<string> {
    const pin = this.#options.pin(id);
    const path = netnsMountPath(this.#options, id);
    if (!(await isNamespace(pin, id))) return '';
    if (path === pin) return path;
    try {
      const isNew = await this.#makeFile(path);
      // an existing file is from an earlier try
      if (isNew || !(await isNamespacePin(path))) await mountBind({ source: pin, target: path });
    } catch (error) {
      throw new FaultError(
        toFault(error, `mount the network namespace of sandbox ${id} at ${path} (network.netns_dir)`),
      );
    }
    return path;
  }

  /**
   * False when the file exists. The directory is missing for the first pod alone, so it is created on demand.
   */
  async #makeFile(path: string): Promise<boolean> {
    try {
      return await makeFile(path);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
    }
    await mkdir(this.#options.directory, { recursive: true, mode: 0o755 });
    return makeFile(path);
  }

  /**
   * The namespace's path for plugins; empty when the namespace is gone. A pin that lost its mount (F57, a
   * reboot) is a plain file: a plugin fails on it, and does not fail on an empty path. Pods of a version
   * before this mount have the pin alone.
   */
  async find(id: SandboxId): Promise<string> {
    const pin = this.#options.pin(id);
    const path = netnsMountPath(this.#options, id);
    if (await isNamespace(path, id)) return path;
    return path !== pin && (await isNamespace(pin, id)) ? pin : '';
  }

  /** Removes the mount, whatever became of the pin. Repeatable. */
  async unmount(id: SandboxId): Promise<void> {
    if (this.#options.directory === '') return;
    const path = netnsMountPath(this.#options, id);
    try {
      // lazy: a daemon of the network may have it open now, and nsfs holds no data that could be lost
      await unmount(path, { lazy: true });
      await unlink(path).catch(ignoreHidden);
    } catch (error) {
      throw new FaultError(toFault(error, `unmount the network namespace of sandbox ${id} at ${path}`));
    }
  }
}

/**
 * Where /run is not a shared mount, the first `ip netns add` binds /run/netns onto itself. An older mount
 * then lies hidden below it, and its file stays busy for good. That must not keep the pod from being removed.
 */
function ignoreHidden(error: unknown): void {
  if (codeOf(error) !== 'EBUSY') onlyAbsent(error);
}

async function makeFile(path: string): Promise<boolean> {
  try {
    await (await open(path, 'wx', 0o444)).close();
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

async function isNamespace(path: string, id: SandboxId): Promise<boolean> {
  try {
    return await isNamespacePin(path);
  } catch (error) {
    throw new FaultError(toFault(error, `check the network namespace of sandbox ${id}`));
  }
}
