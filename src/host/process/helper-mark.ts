/**
 * The mark of our helpers: programs that we start, wait for and forget (the runtime's calls, CNI plugins, iptables, mkfs …).
 * A daemon that is killed leaves them running, and what they do lands when it lands: after the next daemon has looked at
 * the machine, unless that one finds and ends them first (helpers.ts).
 *
 * It stands in the environment, from the execve on and whatever the program does: a command line may be a wrapper's. What is
 * meant to outlive the daemon (monitors, shims, fuse-overlayfs) does not get it, and so no container's process does. It holds
 * a secret of this instance: a container could write anything else into its own environment. A helper may itself leave a
 * service behind, with all of its environment; so the mark names the pipe that the helper was given for its output as well,
 * which a service has closed (whoever waits for the helper's output would wait for the service).
 */

/** Name of the variable. */
export const HELPER_VARIABLE = 'TROUPE_HELPER_OF';

export interface HelperOwner {
  /** Secret of the instance, for as long as the machine runs: hexadecimal. */
  readonly key: string;
  /** Of this run of the daemon: hexadecimal. */
  readonly life: string;
}

export interface HelperMark {
  readonly life: string;
  /** Inode of the pipe that it was given for its output; 0 for none. */
  readonly pipe: number;
}

let owner: HelperOwner | undefined;

/** From now on what this process starts is marked as its helper. Without it nothing is. */
export function markHelpers(by: HelperOwner): void {
  owner = by;
}

/** What a helper's environment begins with, as name and value; `pipe`: see `HelperMark`. */
export function helperVariable(pipe: number): readonly (readonly [string, string])[] {
  return owner === undefined ? [] : [[HELPER_VARIABLE, `${owner.key}.${owner.life}.${pipe}`]];
}

/** The mark with this key in the environment of a process, as /proc tells it (proc_pid_environ(5)); undefined when there is none. */
export function markIn(environment: Buffer, key: string): HelperMark | undefined {
  const head = Buffer.from(`${HELPER_VARIABLE}=${key}.`, 'latin1');
  for (let at = environment.indexOf(head); at >= 0; at = environment.indexOf(head, at + 1)) {
    if (at > 0 && environment[at - 1] !== 0) continue;
    const end = environment.indexOf(0, at);
    const rest = environment.toString('latin1', at + head.length, end < 0 ? environment.length : end);
    const [, life, pipe] = /^([0-9a-f]+)\.(\d+)$/u.exec(rest) ?? [];
    if (life !== undefined) return { life, pipe: Number(pipe) };
  }
  return undefined;
}
