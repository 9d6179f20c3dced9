// The directories and the address that a kubelet has whatever its configuration says: a private one of each.
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { runOrThrow } from '../../support/run.ts';

/** Named in the suite's own code, each of which gets a directory of the run mounted over it. */
const FIXED = ['/var/lib/kubelet', '/var/log/pods', '/var/log/containers'] as const;

/** A kubelet refuses a loopback address for its node, and the new namespace has no other. */
export const NODE_ADDRESS = '10.77.0.2';

/** Makes the mount points where they are missing; the answer removes those that were. */
export function keepDirectories(): () => void {
  const missing = FIXED.filter((path) => !existsSync(path));
  for (const path of missing) mkdirSync(path, { recursive: true });
  return () => {
    for (const path of missing.filter((one) => existsSync(one))) {
      try {
        rmdirSync(path);
      } catch (error) {
        console.error(`${path} was not there before and stays: ${String(error)}`);
      }
    }
  };
}

/** In new mount and network namespaces: the run's own directories in the fixed places, shared among them as on a node. */
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
  const ip = async (...args: string[]): Promise<void> => { await runOrThrow(['ip', ...args]); };
  await ip('link', 'set', 'lo', 'up');
  await ip('link', 'add', 'node0', 'type', 'veth', 'peer', 'name', 'node1');
  await ip('address', 'add', `${NODE_ADDRESS}/24`, 'dev', 'node0');
  await ip('link', 'set', 'node0', 'up');
  await ip('link', 'set', 'node1', 'up');
  await ip('route', 'add', 'default', 'via', '10.77.0.1', 'dev', 'node0');
}
