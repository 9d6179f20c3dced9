// What is proven of every network: addresses, who reaches whom, and that nothing is left, whenever the daemon is
// killed.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { EVENT_MS } from '../../support/patience.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { staticBusybox } from '../../support/tools/debian.ts';
import { Skipped, untilFound } from '../support/parts.ts';
import { changes } from './machine.ts';
import { makeNetWorld, type NetWorld, type NetWorldOptions, type Pod, SERVED_PORT } from './net-world.ts';

export interface NetworkCase {
  readonly title: string;
  /** Throws `Skipped` with what would make it run, where this machine can't run it. */
  readonly needs?: () => Promise<void>;
  readonly options: () => Promise<Omit<NetWorldOptions, 'gated'>>;
  /** Neighbours, devices and daemons, before the configuration is written. */
  readonly prepare?: (world: NetWorld) => Promise<void>;
  /** The configuration; undefined for the daemon's own network. */
  readonly conflist: (world: Pick<NetWorld, 'directory'>) => Conflist | undefined;
  /** Each address of a pod, in order. */
  readonly ips: readonly RegExp[];
  /** Two pods at once, or one, where the network has a single device or address. */
  readonly pods: 1 | 2;
  /** Clients have to bind their own address: the routes are in a table for what comes from it. */
  readonly bound?: boolean;
  /** Why the host does not reach the pods; absent where it does. */
  readonly hidden?: string;
  /** The network has a plugin for host ports. */
  readonly hostPort?: boolean;
  readonly annotations?: Readonly<Record<string, string>>;
  /** What else is true of a pod; answers what to say of it. */
  readonly check?: (world: NetWorld, pod: Pod) => Promise<string>;
  /** What plugins leave on purpose after the last pod, such as their bridge. */
  readonly stays?: RegExp;
  /** Types in the chain whose gates are used; otherwise the first and the last. */
  readonly gated?: readonly [first: string, last: string];
}

export interface Conflist {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly { readonly type: string; readonly [key: string]: unknown }[];
}

const HOST_PORT = 18_080;

/** Proves one network on a machine and a daemon of its own; answers what was proven. */
export async function proveNetwork(one: NetworkCase): Promise<string> {
  await one.needs?.();
  const options = await one.options();
  const types = gatedTypes(one);
  const world = await makeNetWorld({ ...options, gated: types });
  try {
    await one.prepare?.(world);
    await world.configure(one.conflist(world));
    await world.instance.start();
    await world.untilReady();
    const before = await world.machine.snapshot();
    const proven = [await proveReach(world, one)];
    const base = await settledBase(world, before, one.stays);
    await proveKilledWhileReady(world, one, base);
    const [first, last] = types;
    await proveKilledInAdd(world, one, base, first);
    if (last !== first) await proveKilledInAdd(world, one, base, last);
    // DEL runs the chain backwards: behind the first plugin's own DEL everything is deleted, and nobody knows
    await proveKilledInDel(world, one, base, first);
    proven.push('killed ready, in ADD, in DEL: cleaned, joined');
    return proven.join('; ');
  } catch (error) {
    if (error instanceof Skipped) throw error;
    const log = await world.instance.log();
    const about = log
      .split('\n')
      .filter((line) => /CNI|network|fault/u.test(line) && !/"level":"(?:trace|debug)"/u.test(line))
      .slice(-4);
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${about.join('\n')}`, {
      cause: error,
    });
  } finally {
    await world.close();
  }
}

/** The daemon's own network is bridge and portmap. */
function gatedTypes(one: NetworkCase): readonly [string, string] {
  if (one.gated !== undefined) return one.gated;
  const plugins = one.conflist({ directory: '/' })?.plugins ?? [{ type: 'bridge' }, { type: 'portmap' }];
  return [plugins[0]?.type ?? '', plugins.at(-1)?.type ?? ''];
}

/** Pods with the addresses that their namespaces have, which reach each other, as far as the network offers it. */
async function proveReach(world: NetWorld, one: NetworkCase): Promise<string> {
  const said: string[] = [];
  const annotations = one.annotations === undefined ? {} : { annotations: one.annotations };
  const a = await world.start('a', {
    ...annotations,
    ...(one.hostPort === true ? { hostPort: HOST_PORT } : {}),
  });
  await haveAddresses(a, one.ips);
  said.push(a.ips.length === 1 ? 'address' : `${a.ips.length} addresses`);
  const server = await serveIn(a);
  try {
    if (one.pods === 2) {
      const b = await world.start('b', annotations);
      await haveAddresses(b, one.ips);
      if (b.ips.some((ip) => a.ips.includes(ip))) throw new Error(`two pods have ${b.ips.join(', ')}`);
      const own = one.bound === true ? b.ips[0] : undefined;
      for (const ip of a.ips) await reaches([`--net=${b.netns}`], ip, SERVED_PORT, own);
      said.push('pod to pod');
      await world.remove(b.id);
    }
    const host = [`--net=${world.machine.netns}`];
    if (one.hidden === undefined) {
      for (const ip of a.ips) await reaches(host, ip, SERVED_PORT);
      said.push('host to pod');
    } else said.push(`host to pod not offered (${one.hidden})`);
    if (one.hostPort === true) {
      // what the host itself sends to its own addresses of IPv6 is not matched by portmap's rules
      if (a.ips.some((ip) => !ip.includes(':'))) {
        await reaches(host, '127.0.0.1', HOST_PORT);
        said.push('host port');
      } else {
        const client = await world.start('client');
        await reaches([`--net=${client.netns}`], await gatewayOf(client), HOST_PORT);
        await world.remove(client.id);
        said.push('host port from another pod');
      }
    }
    const more = await one.check?.(world, a);
    if (more !== undefined && more !== '') said.push(more);
  } finally {
    server.kill('SIGKILL');
  }
  await world.remove(a.id);
  return said.join(', ');
}

/** After the first pods: everything is gone but what plugins keep on purpose. */
async function settledBase(
  world: NetWorld,
  before: readonly string[],
  stays: RegExp | undefined,
): Promise<readonly string[]> {
  await untilFound({ what: 'nothing left', withinMs: EVENT_MS }, async () => {
    const left = [...changes(before, await world.machine.snapshot()), ...(await world.files())];
    const odd = left.filter((line) => stays === undefined || !stays.test(line));
    if (odd.length > 0) throw new Error(odd.join('; '));
    return true;
  });
  return await world.machine.snapshot();
}

async function isAsBefore(world: NetWorld, base: readonly string[], what: string): Promise<void> {
  await untilFound({ what: `${what}: nothing left`, withinMs: EVENT_MS }, async () => {
    const left = [...changes(base, await world.machine.snapshot()), ...(await world.files())];
    if (left.length > 0) throw new Error(left.join('; '));
    return true;
  });
}

const hostPortOf = (one: NetworkCase) => ({
  ...(one.hostPort === true ? { hostPort: HOST_PORT } : {}),
  ...(one.annotations === undefined ? {} : { annotations: one.annotations }),
});

async function proveKilledWhileReady(
  world: NetWorld,
  one: NetworkCase,
  base: readonly string[],
): Promise<void> {
  const pod = await world.start('ready', hostPortOf(one));
  await world.instance.kill();
  await world.instance.start();
  const again = await world.describe(pod.id);
  if (again.ips.join() !== pod.ips.join())
    throw new Error(`addresses after a kill: ${again.ips.join()}, expected ${pod.ips.join()}`);
  await haveAddresses(again, one.ips);
  await world.remove(pod.id);
  await isAsBefore(world, base, 'killed while the pod was ready');
}

/** The daemon dies behind the work of one plugin's ADD; the client asks the next one for the same pod. */
async function proveKilledInAdd(
  world: NetWorld,
  one: NetworkCase,
  base: readonly string[],
  type: string,
): Promise<void> {
  await world.gates.shut('ADD', type);
  const lost = world.start('added', hostPortOf(one)).catch(() => undefined);
  await world.gates.untilReached('ADD', type);
  await world.instance.kill();
  await lost;
  await world.gates.open('ADD', type);
  await world.instance.start();
  await world.untilReady();
  const pod = await world.start('added', hostPortOf(one));
  await haveAddresses(pod, one.ips);
  await world.remove(pod.id);
  await isAsBefore(world, base, `killed in ADD of ${type}`);
}

async function proveKilledInDel(
  world: NetWorld,
  one: NetworkCase,
  base: readonly string[],
  type: string,
): Promise<void> {
  const pod = await world.start('deleted', hostPortOf(one));
  await world.gates.shut('DEL', type);
  const lost = world.client.runtime.stopPodSandbox({ podSandboxId: pod.id }).catch(() => undefined);
  await world.gates.untilReached('DEL', type);
  await world.instance.kill();
  await lost;
  await world.gates.open('DEL', type);
  await world.instance.start();
  await world.remove(pod.id);
  await isAsBefore(world, base, `killed in DEL of ${type}`);
}

/** PodSandboxStatus has the addresses that are wanted, and the pod's interface has them. */
async function haveAddresses(pod: Pod, wanted: readonly RegExp[]): Promise<void> {
  const fits = pod.ips.length === wanted.length && pod.ips.every((ip, at) => wanted[at]?.test(ip));
  if (!fits) throw new Error(`addresses ${pod.ips.join(', ')}, expected ${wanted.map(String).join(', ')}`);
  const { stdout } = await run([
    'nsenter',
    `--net=${pod.netns}`,
    '--',
    'ip',
    '-o',
    'addr',
    'show',
    'dev',
    'eth0',
  ]);
  for (const ip of pod.ips)
    if (!stdout.includes(` ${ip}/`)) throw new Error(`eth0 has no ${ip}: ${stdout.trim()}`);
}

/** A server in the pod that answers `tcp` on TCP port 8080 of every address. */
export async function serveIn(pod: Pick<Pod, 'netns'>) {
  const servers = spawn(
    'nsenter',
    [`--net=${pod.netns}`, process.execPath, join(checkout, 'test/integration/daemon/host-port-servers.ts')],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await new Promise<void>((resolve, reject) => {
    servers.stdout.once('data', () => resolve());
    servers.once('exit', (code) => reject(new Error(`the pod's servers ended with ${code}`)));
  });
  return servers;
}

/** Connects from a namespace; an address of IPv6 may need a moment until it is known to be the only one. */
export async function reaches(
  from: readonly string[],
  ip: string,
  port: number,
  own?: string,
): Promise<void> {
  const client =
    own === undefined
      ? [staticBusybox(), 'nc', '-w', '3']
      : [process.execPath, join(checkout, 'test/e2e/networks/connect-from.ts'), own];
  const argv = ['nsenter', ...from, '--', ...client, ip, String(port)];
  await untilFound({ what: `an answer of ${ip} port ${port}`, withinMs: EVENT_MS }, async () => {
    const { stdout, stderr } = await run(argv);
    if (!stdout.includes('tcp')) throw new Error(stderr.trim());
    return true;
  });
}

/** The gateway of the pod's default route. */
async function gatewayOf(pod: Pod): Promise<string> {
  const family = pod.ips[0]?.includes(':') === true ? '-6' : '-4';
  const argv = ['nsenter', `--net=${pod.netns}`, '--', 'ip', family, 'route', 'show', 'default'];
  const found = /via (\S+)/u.exec((await run(argv)).stdout)?.[1];
  if (found === undefined) throw new Error('no default route');
  return found;
}
