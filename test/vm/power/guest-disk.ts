// Used in the guest: the disk with the daemon's root, the daemon on it, and the line to the host.
import { openSync, writeSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { type TinyRegistry, startTinyRegistry } from '../../../scripts/support/tiny-registry.ts';
import { run, runOrThrow } from '../../support/run.ts';
import { type Fact, MARK } from './facts.ts';
import { type PowerImage, REGISTRY } from './images.ts';

const DATA = '/data';
export const SOCKET = '/run/troupe/troupe.sock';
/** Where CNI's host-local plugin keeps its addresses: a node has it on the same disk. */
const CNI_STATE = '/var/lib/cni';
/** Against a hang: an emulated node on a busy machine. */
const PATIENCE_MS = 10 * 60_000;

const commandLine = await readFile('/proc/cmdline', 'utf8');

/** `troupe.<name>=` of the kernel's command line. */
export function word(name: string): string {
  const found = new RegExp(`\\btroupe\\.${name}=(\\S+)`, 'u').exec(commandLine)?.[1];
  if (found === undefined) throw new Error(`the kernel's command line has no troupe.${name}`);
  return found;
}

const terminal = openSync(`/dev/${word('tty')}`, 'w');

/** Prints a fact for the host, at once. */
export function report(fact: Fact): void {
  // a line of its own, whatever else was printed
  writeSync(terminal, `\n${MARK}${JSON.stringify(fact)}\n`);
}

/** User-mode Linux names disks by their order. */
function deviceOf(serial: string): string {
  const index = word('disks').split(',').indexOf(serial);
  if (index === -1) throw new Error(`there is no disk ${serial}`);
  return `/dev/ubd${'abcdefghijklmnop'.charAt(index)}`;
}

/** Mounts a disk where the daemon's root is. Answers why it could not. */
export async function mountData(serial: string): Promise<string | undefined> {
  await mkdir(DATA, { recursive: true });
  const mounted = await run(['mount', '-t', word('fs'), deviceOf(serial), DATA], { timeoutMs: PATIENCE_MS });
  if (mounted.code !== 0) return `${mounted.stderr} ${(await run(['dmesg'])).stdout.slice(-2000)}`;
  for (const path of [`${DATA}/troupe`, `${DATA}/cni`, CNI_STATE]) await mkdir(path, { recursive: true });
  await runOrThrow(['mount', '--bind', `${DATA}/cni`, CNI_STATE]);
  return undefined;
}

/** Ends what is left of a daemon and its node, as a reboot would. */
export async function unmountData(): Promise<void> {
  await run(['systemctl', 'stop', 'troupe'], { timeoutMs: PATIENCE_MS });
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' ')[1]);
  const ours = mounts.filter((path) => path !== undefined && /^\/(data|run\/troupe)(\/|$)/u.test(path));
  for (const path of [...ours.reverse(), CNI_STATE]) await run(['umount', '--lazy', path ?? '']);
  await runOrThrow(['rm', '-rf', '/run/troupe']);
}

export async function serveImages(images: readonly PowerImage[]): Promise<TinyRegistry> {
  const registry = await startTinyRegistry(
    new Map(images.map(({ name, image }) => [name.slice(REGISTRY.length + 1), image])),
  );
  await writeFile(
    '/etc/containers/registries.conf.d/vm.conf',
    `[[registry]]\nprefix = "${REGISTRY}"\nlocation = "${registry.address}"\ninsecure = true\n`,
  );
  return registry;
}

export async function configureNode(): Promise<void> {
  await writeFile(
    '/etc/troupe/troupe.toml',
    `root = "${DATA}/troupe"\n[log]\nlevel = "info"\n[cgroup]\ndriver = "cgroupfs"\n[network]\nfallback = "bridge"\n`,
  );
}

/** Starts the service. Answers why it did not, and the time that it took. */
export async function startDaemon(): Promise<{ readonly ms: number; readonly why?: string }> {
  const since = performance.now();
  const { code, stderr } = await run(['systemctl', 'start', 'troupe'], { timeoutMs: PATIENCE_MS });
  const ms = Math.round(performance.now() - since);
  return code === 0 ? { ms } : { ms, why: `${stderr}${await journal()}` };
}

/** The end of what the daemon printed. */
export const journal = async (): Promise<string> =>
  (await runOrThrow(['journalctl', '--boot', '--no-pager', '--unit=troupe', '--lines=30'])).slice(-3000);
