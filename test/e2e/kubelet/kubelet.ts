// A standalone kubelet: no API server, pods from a directory, everything below one directory and one cgroup of its own.
// It kills every pod of its runtime that it doesn't know, so it gets an instance that nobody else uses.
import type { ChildProcess } from 'node:child_process';
import { mkdir, readdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { CGROUP_DRIVER } from '../../support/instance.ts';
import { patient } from '../../support/patience.ts';
import { run } from '../../support/run.ts';
import { endServer, freePort, isRunning, spawnLogged } from '../support/servers.ts';
import type { World } from '../support/world.ts';
import type { Pod, PodManifest, Summary } from './shapes.ts';

/** Its node name, which it appends to the names of static pods, and the name in its certificate. */
const NODE = 'localhost';
const START_TIMEOUT_MS = patient(60_000);
const LOOK_AGAIN_MS = 100;
/** For one call of its API; the longest waits for a daemon that is just starting. */
const CALL_TIMEOUT_MS = patient(60_000);

/** What it reports about a pod; in a cluster, an Event object. */
export interface KubeletEvent {
  readonly atMs: number;
  /** The pod's name as in its manifest. */
  readonly pod: string;
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}

export interface Kubelet {
  /** `https://localhost:port` */
  readonly address: string;
  /** Path of the cgroup (in each hierarchy) under which its pods are. */
  readonly cgroupRoot: string;
  /** Its root directory, in which it keeps the pods' volumes. */
  readonly root: string;
  readonly get: (path: string) => Promise<string>;
  readonly post: (path: string) => Promise<string>;
  readonly pods: () => Promise<readonly Pod[]>;
  readonly summary: () => Promise<Summary>;
  readonly apply: (manifest: PodManifest) => Promise<void>;
  readonly withdraw: (name: string) => Promise<void>;
  /** Names of the pods in its directory. */
  readonly applied: () => Promise<string[]>;
  readonly events: () => Promise<KubeletEvent[]>;
  /** Lines of its log that hold the text. */
  readonly logLines: (text: string) => Promise<string[]>;
  /** Ends it; its pods stay. Then takes away its own cgroups, those that are empty. */
  readonly stop: () => Promise<void>;
}

/** The name that a static pod gets. */
export const staticName = (name: string): string => `${name}-${NODE}`;

interface Places {
  readonly manifests: string;
  readonly root: string;
  readonly logs: string;
  /** As `Kubelet` has it. */
  readonly cgroupRoot: string;
  readonly port: number;
}

/**
 * systemd's driver gives pods a slice of this name, below the root; the other one has a root of its own, since such a
 * machine is shared.
 */
const SLICE = 'kubepods.slice';

/** kubelet.config.k8s.io/v1beta1; JSON is YAML. */
function configText({ instance }: World, places: Places): string {
  return JSON.stringify({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    staticPodPath: places.manifests,
    fileCheckFrequency: '1s',
    podLogsDir: places.logs,
    volumePluginDir: join(places.root, 'plugins'),
    containerRuntimeEndpoint: instance.endpoint,
    imageServiceEndpoint: instance.endpoint,
    address: '127.0.0.1',
    port: places.port,
    healthzPort: 0,
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    cgroupRoot: CGROUP_DRIVER === 'systemd' ? '/' : places.cgroupRoot,
    cgroupDriver: CGROUP_DRIVER,
    // The machine may be on cgroup v1 and swap.
    failCgroupV1: false,
    failSwapOn: false,
    // Packet rules of the whole machine are no concern of this test, nor is a disk that others fill.
    makeIPTablesUtilChains: false,
    evictionHard: { 'memory.available': '10Mi', 'nodefs.available': '10Mi', 'imagefs.available': '10Mi' },
    imageGCHighThresholdPercent: 100,
    featureGates: { PodAndContainerStatsFromCRI: true, KubeletCrashLoopBackOffMax: true },
    crashLoopBackOff: { maxContainerRestartPeriod: '2s' },
    containerLogMaxSize: '64Ki',
    containerLogMaxFiles: 10,
    containerLogMonitorInterval: '3s',
    logging: { format: 'json', verbosity: 3 },
  });
}

/** Directories of all cgroup hierarchies: below each controller on v1, the mount itself on v2. */
export async function hierarchies(): Promise<string[]> {
  const base = '/sys/fs/cgroup';
  const names = await readdir(base);
  return names.includes('cgroup.controllers') ? [base] : names.map((name) => join(base, name));
}

/**
 * A cgroup with all controllers for itself and its children. On v2 the root passes on those that somebody has asked it
 * for (cgroup-v2.rst, "Enabling and Disabling"): systemd only those that its own units need.
 */
export async function makeCgroupRoot(hierarchy: string, name: string): Promise<void> {
  const directory = join(hierarchy, name);
  const controllers = await readFile(join(hierarchy, 'cgroup.controllers'), 'utf8').catch(() => '');
  const enable = async (parent: string): Promise<void> => {
    for (const controller of controllers.split(/\s+/u).filter((one) => one !== ''))
      await writeFile(join(parent, 'cgroup.subtree_control'), `+${controller}`);
  };
  await enable(hierarchy);
  await mkdir(directory).catch(() => undefined);
  await enable(directory);
}

/** Removes cgroups from the deepest up; those with processes stay and show in the differences. */
export async function removeCgroups(path: string): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true }).catch(() => []))
    if (entry.isDirectory()) await removeCgroups(join(path, entry.name));
  await rmdir(path).catch(() => undefined);
}

/** A line of its log in JSON; undefined for what came before it could write such. */
function parsed(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function eventOf(line: string): KubeletEvent | undefined {
  const entry = parsed(line);
  if (entry?.['msg'] !== 'Event occurred') return undefined;
  const object = entry['object'];
  const name =
    typeof object === 'object' && object !== null && 'name' in object
      ? String(object.name)
      : String(object).replace(/^.*\//, '');
  return {
    atMs: Number(entry['ts']),
    pod: name.endsWith(`-${NODE}`) ? name.slice(0, -NODE.length - 1) : name,
    type: String(entry['type']),
    reason: String(entry['reason']),
    message: String(entry['message']),
  };
}

/** Calls its API; throws what it answers beside 2xx. */
const callOf =
  (address: string) =>
  async (path: string, method: string): Promise<string> => {
    const answer = await fetch(address + path, { method, signal: AbortSignal.timeout(CALL_TIMEOUT_MS) });
    const text = await answer.text();
    if (!answer.ok)
      throw new Error(`${method} ${path} of the kubelet: ${answer.status} ${text.trim().slice(0, 1000)}`);
    return text;
  };

/** The directory from which it takes its pods. */
function manifestsIn(manifests: string, incoming: string): Pick<Kubelet, 'apply' | 'withdraw' | 'applied'> {
  return {
    apply: async (manifest) => {
      // Renamed into place: it must not read half a file.
      const file = `${manifest.metadata.name}.json`;
      await writeFile(join(incoming, file), JSON.stringify(manifest));
      await rename(join(incoming, file), join(manifests, file));
    },
    withdraw: async (name) => await rm(join(manifests, `${name}.json`)),
    applied: async () => (await readdir(manifests)).map((file) => file.replace(/\.json$/, '')),
  };
}

/** Its directories, cgroups and configuration. */
async function makePlaces(world: World, home: string, incoming: string): Promise<Places> {
  const places: Places = {
    manifests: join(home, 'manifests'),
    root: join(home, 'root'),
    logs: world.logs,
    cgroupRoot: CGROUP_DRIVER === 'systemd' ? `/${SLICE}` : `/${world.instance.words[0] ?? 'trkube'}-kubelet`,
    port: await freePort(),
  };
  for (const directory of [places.manifests, places.root, incoming])
    await mkdir(directory, { recursive: true });
  // It refuses to start without its cgroup root; systemd makes its slices itself.
  for (const hierarchy of CGROUP_DRIVER === 'systemd' ? [] : await hierarchies())
    await makeCgroupRoot(hierarchy, places.cgroupRoot);
  await writeFile(join(home, 'config.json'), configText(world, places));
  return places;
}

/**
 * Starts it and waits until its API answers.
 * @param kubeconfig how it reaches an API server; without one it stands alone
 */
export async function startKubelet(program: string, world: World, kubeconfig?: string): Promise<Kubelet> {
  const home = join(world.instance.directory, 'kubelet');
  const incoming = join(home, 'incoming');
  const places = await makePlaces(world, home, incoming);
  const log = join(home, 'kubelet.log');
  const cluster = kubeconfig === undefined ? [] : ['--kubeconfig', kubeconfig];
  const child = spawnLogged(
    program,
    [
      '--config',
      join(home, 'config.json'),
      '--root-dir',
      places.root,
      '--cert-dir',
      join(home, 'pki'),
      '--hostname-override',
      NODE,
      ...cluster,
    ],
    log,
  );
  const address = `https://${NODE}:${places.port}`;
  const call = callOf(address);
  const lines = async (): Promise<string[]> => (await readFile(log, 'utf8')).split('\n');
  const stop = async (): Promise<void> => {
    await endServer(child);
    // It mounts its root directory on itself, to share mounts below it with containers.
    await run(['umount', places.root]);
    if (CGROUP_DRIVER === 'systemd') await run(['systemctl', 'stop', SLICE]);
    for (const hierarchy of await hierarchies()) await removeCgroups(join(hierarchy, places.cgroupRoot));
  };
  try {
    await untilServing(child, join(home, 'pki/kubelet.crt'), async () => await call('/pods', 'GET'));
  } catch (error) {
    await stop();
    throw new Error(`the kubelet did not start: ${String(error)}\n${(await lines()).slice(-15).join('\n')}`);
  }
  return {
    address,
    cgroupRoot: places.cgroupRoot,
    root: places.root,
    get: async (path) => await call(path, 'GET'),
    post: async (path) => await call(path, 'POST'),
    pods: async () =>
      (JSON.parse(await call('/pods', 'GET')) as { readonly items: readonly Pod[] | null }).items ?? [],
    summary: async () => JSON.parse(await call('/stats/summary', 'GET')) as Summary,
    ...manifestsIn(places.manifests, incoming),
    events: async () => (await lines()).map(eventOf).filter((event) => event !== undefined),
    logLines: async (text) => (await lines()).filter((line) => line.includes(text)),
    stop,
  };
}

async function untilServing(
  child: ChildProcess,
  certificate: string,
  ask: () => Promise<unknown>,
): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  let isTrusted = false;
  for (let reason: unknown = 'no certificate'; ;) {
    if (!isRunning(child))
      throw new Error(`it ended with ${child.exitCode ?? child.signalCode ?? 'an unknown code'}`);
    try {
      if (!isTrusted)
        setDefaultCACertificates([...getCACertificates('default'), await readFile(certificate, 'utf8')]);
      isTrusted = true;
      await ask();
      return;
    } catch (error) {
      reason = error;
    }
    if (performance.now() > deadline)
      throw new Error(`no answer within ${START_TIMEOUT_MS} ms: ${String(reason)}`);
    await delay(LOOK_AGAIN_MS);
  }
}
