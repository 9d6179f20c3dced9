/**
 * Where plugins are shown a pod's network namespace. Our own pins are hidden from everybody (src/host/namespaces/namespaces.ts), but many
 * networks' plugins are thin: they hand CNI_NETNS to a daemon in a container, which sees the host's /run/netns alone and only by
 * mount propagation (OVN-Kubernetes, Multus, Antrea, Kube-OVN). There, where iproute2 and both peers have theirs, a second
 * mount of the namespace lies from ADD until DEL has succeeded. Removing its file takes it away from whoever copied it.
 */
import { mkdir, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { FaultError, toFault } from '../base/fault.ts';
import type { SandboxId } from '../base/ids.ts';
import { codeOf, onlyAbsent } from '../host/ffi/errno.ts';
import { mountBind, unmount } from '../host/mounts/mounts.ts';
import { isNamespacePin } from '../host/namespaces/namespaces.ts';

export interface NetnsPlaceOptions {
  /** Our own pin. */
  readonly pin: (id: SandboxId) => string;
  /** Absolute; made when it is not there. Empty: plugins are told the pin. */
  readonly directory: string;
}

/** Where the namespace of a pod with a network of its own is shown; the pin where no directory is configured. */
export function shownNetns({ pin, directory }: NetnsPlaceOptions, id: SandboxId): string {
  return directory === '' ? pin(id) : join(directory, `troupe-${id}`);
}

export class NetnsPlace {
  readonly #options: NetnsPlaceOptions;

  constructor(options: NetnsPlaceOptions) {
    this.#options = options;
  }

  /** Shows the namespace and returns where; empty when it is gone. Can be repeated. */
  async show(id: SandboxId): Promise<string> {
    const pin = this.#options.pin(id);
    const path = shownNetns(this.#options, id);
    if (!(await isNamespace(pin, id))) return '';
    if (path === pin) return path;
    try {
      const isNew = await this.#makeFile(path);
      // one that was there is of an earlier try
      if (isNew || !(await isNamespacePin(path))) await mountBind({ source: pin, target: path });
    } catch (error) {
      throw new FaultError(
        toFault(error, `show the network namespace of sandbox ${id} at ${path} (network.netns_dir)`),
      );
    }
    return path;
  }

  /** False when it is there. The directory is missing for the first pod alone. */
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
   * Where plugins find it now; empty when it is gone. A pin that lost its mount (F57, a reboot) is a plain file: a plugin
   * would fail on it, with an empty path it does not. Pods from before it was shown have the pin alone.
   */
  async find(id: SandboxId): Promise<string> {
    const pin = this.#options.pin(id);
    const path = shownNetns(this.#options, id);
    if (await isNamespace(path, id)) return path;
    return path !== pin && (await isNamespace(pin, id)) ? pin : '';
  }

  /** Takes it away; no matter of the pin. Can be repeated. */
  async hide(id: SandboxId): Promise<void> {
    if (this.#options.directory === '') return;
    const path = shownNetns(this.#options, id);
    try {
      // lazy: a daemon of the network may have it open at this moment, and nsfs holds no data
      await unmount(path, { lazy: true });
      await unlink(path).catch(unlessHidden);
    } catch (error) {
      throw new FaultError(toFault(error, `hide the network namespace of sandbox ${id} at ${path}`));
    }
  }
}

/**
 * Where /run is nobody's shared mount, the first `ip netns add` binds the directory onto itself: a mount from before lies
 * below that, out of everybody's reach, and its file is busy for good. No reason to hold the pod.
 */
function unlessHidden(error: unknown): void {
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
    throw new FaultError(toFault(error, `look at the network namespace of sandbox ${id}`));
  }
}
