// What a kubelet changes on the whole machine, whatever its root directory: kernel settings and two fixed directories.
import {
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';

/** Its kernel tunables (its container manager, "setupKernelTunables"), which it leaves as they are when it ends. */
const SYSCTLS = [
  'vm/overcommit_memory',
  'vm/panic_on_oom',
  'kernel/panic',
  'kernel/panic_on_oops',
  'kernel/keys/root_maxkeys',
  'kernel/keys/root_maxbytes',
] as const;

/** Made by it when missing, the deepest first: places of device plugins' sockets and of links to containers' logs. */
const DIRECTORIES = ['/var/lib/kubelet/device-plugins', '/var/lib/kubelet', '/var/log/containers'] as const;

const pathOf = (name: string): string => `/proc/sys/${name}`;

/**
 * Remembers them; the answer puts back what differs by then and names the settings among it. Synchronous, so that it
 * can run at exit. A directory that holds something stays.
 */
export function keepHost(): () => string[] {
  const before = SYSCTLS.map((name) => ({ name, value: readFileSync(pathOf(name), 'utf8') }));
  const missing = DIRECTORIES.filter((path) => !existsSync(path));
  return () => {
    const changed = before.filter(({ name, value }) => readFileSync(pathOf(name), 'utf8') !== value);
    for (const { name, value } of changed) writeFileSync(pathOf(name), value);
    for (const path of missing.filter((one) => existsSync(one))) {
      if (path.endsWith('/device-plugins')) rmSync(`${path}/kubelet.sock`, { force: true });
      // Of containers that it had not collected when it ended: links to logs that are gone.
      if (path.endsWith('/containers'))
        for (const name of readdirSync(path))
          if (!existsSync(`${path}/${name}`) || readlinkSync(`${path}/${name}`).includes('/trkube'))
            rmSync(`${path}/${name}`);
      try {
        rmdirSync(path);
      } catch (error) {
        console.error(`${path} was not there before and stays: ${String(error)}`);
      }
    }
    return changed.map(({ name }) => name.replaceAll('/', '.'));
  };
}
