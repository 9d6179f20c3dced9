/**
 * Marks helpers: programs that the daemon starts and waits for (runtime calls, CNI plugins, iptables, mkfs
 * …). A killed daemon leaves its helpers running, and their effects may come after the next boot of the
 * daemon has observed the machine, unless it finds and ends them first (helpers.ts).
 *
 * The mark is an environment variable: it exists from the execve on, whatever the program does, while a
 * command line may be a wrapper's. Programs that must outlive the daemon (monitors, shims, fuse-overlayfs) do
 * not get it, so no container's process has it. It holds a secret of this instance, since a container can
 * write anything else into its own environment. A helper may leave a service behind that inherits its
 * environment. So the mark also names the pipe of the helper's output: a service has closed that pipe, since
 * otherwise whoever reads the helper's output would wait for the service.
 */

/** Name of the environment variable. */
export const HELPER_VARIABLE = 'TROUPE_HELPER_OF';

export interface HelperOwner {
  /** Secret of the instance, hexadecimal; valid until the machine reboots. */
  readonly key: string;
  /** Name of this boot of the daemon, hexadecimal. */
  readonly boot: string;
}

export interface HelperMark {
  readonly boot: string;
  /** Inode of the helper's output pipe; 0 for none. */
  readonly pipe: number;
}

let owner: HelperOwner | undefined;

/** Marks every helper that this process starts from now on. Before this call none is marked. */
export function markHelpers(by: HelperOwner): void {
  owner = by;
}

/** The first environment variables of a helper, as name and value; `pipe` as in `HelperMark`. */
export function helperVariable(pipe: number): readonly (readonly [string, string])[] {
  return owner === undefined ? [] : [[HELPER_VARIABLE, `${owner.key}.${owner.boot}.${pipe}`]];
}

/**
 * The mark with this key in a process's environment, as read from /proc (proc_pid_environ(5)); undefined when
 * it has none.
 */
export function markIn(environment: Buffer, key: string): HelperMark | undefined {
  const head = Buffer.from(`${HELPER_VARIABLE}=${key}.`, 'latin1');
  for (let at = environment.indexOf(head); at >= 0; at = environment.indexOf(head, at + 1)) {
    if (at > 0 && environment[at - 1] !== 0) continue;
    const end = environment.indexOf(0, at);
    const rest = environment.toString('latin1', at + head.length, end < 0 ? environment.length : end);
    const [, boot, pipe] = /^([0-9a-f]+)\.(\d+)$/u.exec(rest) ?? [];
    if (boot !== undefined) return { boot, pipe: Number(pipe) };
  }
  return undefined;
}
