// The directories and the address that a kubelet has whatever its configuration says: a private one of each.
import { existsSync, mkdirSync, readdirSync, readlinkSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { runOrThrow } from '../../support/run.ts';

/** Named in the suite's own code, each of which gets a directory of the run mounted over it. */
const FIXED = ['/var/lib/kubelet', '/var/log/pods', '/var/log/containers'] as const;

/** A process may fork while we kill the others, and takes a moment to be gone. */
const KILL_ROUNDS = 20;
const KILL_WAIT_MS = 100;

/** A kubelet refuses a loopback address for its node, and the new namespace has no other. */
export const NODE_ADDRESS = '10.77.0.2';

/**
 * In each mount point while a run lasts: an empty directory could be removed by others, which takes what is mounted on
 * it elsewhere away.
 */
const MARK = '.node-e2e';

/** Makes the mount points where they are missing; the answer removes those that were. */
export function keepDirectories(): () => void {
  const missing = FIXED.filter((path) => !existsSync(path));
  for (const path of FIXED) {
    mkdirSync(path, { recursive: true });
    writeFileSync(`${path}/${MARK}`, '');
  }
  return () => {
    for (const path of FIXED) rmSync(`${path}/${MARK}`, { force: true });
    for (const path of missing.filter((one) => existsSync(one))) {
      try {
        rmdirSync(path);
      } catch (error) {
        console.error(`${path} was not there before and stays: ${String(error)}`);
      }
    }
  };
}

/**
 * In new mount and network namespaces: the run's own directories in the fixed places, shared among them as on a node.
 */
export async function privatePlaces(directory: string): Promise<void> {
  await runOrThrow(['mount', '--make-rshared', '/']);
  for (const path of FIXED) {
    const own = join(directory, 'places', path.slice(1).replaceAll('/', '-'));
    await mkdir(own, { recursive: true, mode: 0o755 });
    await runOrThrow(['mount', '--bind', own, path]);
  }
}

/** In a new network namespace: a loopback, a node address and a way out that leads nowhere. */
export async function privateNetwork(): Promise<void> {
  const ip = async (...args: string[]): Promise<void> => {
    await runOrThrow(['ip', ...args]);
  };
  await ip('link', 'set', 'lo', 'up');
  await ip('link', 'add', 'node0', 'type', 'veth', 'peer', 'name', 'node1');
  await ip('address', 'add', `${NODE_ADDRESS}/24`, 'dev', 'node0');
  await ip('link', 'set', 'node0', 'up');
  await ip('link', 'set', 'node1', 'up');
  await ip('route', 'add', 'default', 'via', '10.77.0.1', 'dev', 'node0');
}

/** The variable in which the outer process hands its mount namespace to the inner one. */
export const OUTER_MOUNTS = 'TROUPE_NODE_E2E_OUTER_MOUNTS';

export const mountNamespace = (): string => readlinkSync('/proc/self/ns/mnt');

/** Throws in a process that was not started in a mount namespace of its own. */
export function assertPrivate(): void {
  const outer = process.env[OUTER_MOUNTS];
  if (outer === undefined || outer === mountNamespace())
    throw new Error('the run needs a mount namespace of its own: start it with npm run node-e2e');
}

/** Kills every process but this one that shares its mount namespace: nobody but the run is in it. */
export async function killNamespace(): Promise<void> {
  assertPrivate();
  const own = mountNamespace();
  for (let round = 0, killed = 1; killed > 0 && round < KILL_ROUNDS; round += 1) {
    killed = 0;
    for (const pid of readdirSync('/proc').filter(
      (name) => /^\d+$/.test(name) && Number(name) !== process.pid,
    )) {
      try {
        if (readlinkSync(`/proc/${pid}/ns/mnt`) !== own) continue;
        process.kill(Number(pid), 'SIGKILL');
        killed += 1;
      } catch {
        // It ended meanwhile, or is a zombie, which has no namespaces.
      }
    }
    await delay(KILL_WAIT_MS);
  }
}
