// The daemon and its floor side by side: the same pods in turn, in the same run.
import { cpus, loadavg } from 'node:os';
import { dirname, join } from 'node:path';
import type { World } from '../e2e/support/world.ts';
import { runOrThrow } from '../support/run.ts';
import { busyMs, cpuOf } from './cpu.ts';
import { type DaemonPod, execTrue, startPod } from './daemon-pods.ts';
import { cniPluginDirectory, Floor, type FloorPod, type Parts, total } from './floor.ts';
import type { Pair } from './report.ts';
import { PLAIN, type Setting } from './setting.ts';

/** Pods that are started and ended before anything is counted: images, caches, JIT. */
export const WARM_UP = 3;
/** Pods at once in the rows of many. */
export const GROUP = 10;

export interface Sides {
  readonly world: World;
  readonly image: string;
  readonly floor: Floor;
}

/** @param templates the daemon's pods that stay up meanwhile, by `templateName` */
export async function openFloor(
  { instance }: World,
  runtimePath: string,
  templates: ReadonlyMap<string, DaemonPod>,
): Promise<Floor> {
  const configOf = ({ containerId }: DaemonPod): string =>
    join(instance.state, 'containers', containerId, 'bundle/config.json');
  const floor = new Floor({
    // beside the daemon's state: what the runtime and the monitor write goes to memory on both sides
    directory: join(dirname(instance.state), 'floor'),
    cgroupParent: `/${instance.words[0] ?? ''}`,
    runtimePath,
    monitorPath: '/usr/bin/conmon',
    conflist: join(instance.directory, 'cni/10-test.conflist'),
    pluginDir: cniPluginDirectory(),
    templates: new Map([...templates].map(([name, pod]) => [name, configOf(pod)])),
  });
  await floor.open();
  return floor;
}

/** Processor time of a pod's life, in ms. */
export interface LifeCpu {
  /** The daemon's own process. */
  readonly daemon: number;
  /** All processes that the daemon's side needs; whatever else the machine does is in it, too. */
  readonly all: number;
  /** The same of the bare loop, itself included. */
  readonly floor: number;
}

export interface Lives {
  readonly start: Pair;
  readonly stop: Pair;
  readonly cpu: LifeCpu;
}

/** Rows of the table, from the lives of pods in one way. */
export function named(network: 'pod' | 'host', how: string, { start, stop }: Lives): Record<string, Pair> {
  const where = network === 'pod' ? 'CNI' : 'host network';
  return { [`pod start, ${where}, ${how}`]: start, [`stop and remove, ${where}, ${how}`]: stop };
}

export interface PairsOptions {
  readonly network: 'pod' | 'host';
  readonly setting?: Setting;
  readonly rounds: number;
  /** Pods at once. */
  readonly width: number;
}

/** A B A B: the daemon's pods and the floor's in turn; which side goes first changes each round. */
export async function pairs(
  { world, image, floor }: Sides,
  { network, setting = PLAIN, rounds, width }: PairsOptions,
): Promise<Lives> {
  const empty = () => ({
    daemon: [] as number[],
    floor: [] as number[],
    daemonParts: [] as Parts[],
    floorParts: [] as Parts[],
  });
  const start = empty();
  const stop = empty();
  const cpu = { daemon: 0, all: 0, floor: 0 };
  const pid = world.instance.pid();
  const daemonTurn = async (): Promise<void> => {
    const spent = spending(pid);
    const pods: DaemonPod[] = await Promise.all(times(width, () => startPod(world, image, network, setting)));
    const ends = await Promise.all(pods.map((pod) => pod.stop()));
    const { daemon, machine, self } = spent();
    cpu.daemon += daemon;
    cpu.all += machine - self;
    start.daemonParts.push(...pods.map((pod) => pod.startParts));
    stop.daemonParts.push(...ends);
    start.daemon.push(...pods.map((pod) => total(pod.startParts)));
    stop.daemon.push(...ends.map(total));
  };
  const floorTurn = async (): Promise<void> => {
    const spent = spending(pid);
    const pods: FloorPod[] = await Promise.all(times(width, () => floor.start(network, setting)));
    const ends = await Promise.all(pods.map((pod) => pod.stop()));
    const { daemon, machine } = spent();
    cpu.floor += machine - daemon;
    start.floorParts.push(...pods.map((pod) => pod.startParts));
    stop.floorParts.push(...ends);
    start.floor.push(...pods.map((pod) => total(pod.startParts)));
    stop.floor.push(...ends.map(total));
  };
  for (let round = 0; round < rounds; round += 1) {
    const turns = round % 2 === 0 ? [daemonTurn, floorTurn] : [floorTurn, daemonTurn];
    for (const turn of turns) await turn();
  }
  const lives = rounds * width;
  return {
    start,
    stop,
    cpu: { daemon: cpu.daemon / lives, all: cpu.all / lives, floor: cpu.floor / lives },
  };
}

/** Begins to count processor time; the returned function says what was spent since, in ms. */
export function spending(pid: number) {
  const now = () => {
    const { user, system } = cpuOf(pid);
    const self = process.cpuUsage();
    return { daemon: user + system, machine: busyMs(), self: (self.user + self.system) / 1000 };
  };
  const before = now();
  return () => {
    const { daemon, machine, self } = now();
    return {
      daemon: daemon - before.daemon,
      machine: machine - before.machine,
      self: self - before.self,
    };
  };
}

export const times = <T>(count: number, make: (at: number) => T): T[] =>
  Array.from({ length: count }, (_none, at) => make(at));

/** ExecSync of true against `runc exec` of true. */
export async function execPairs(
  { world, floor }: Sides,
  pod: DaemonPod,
  rounds: number,
  setting = PLAIN,
): Promise<Pair> {
  const beside = await floor.start('pod', setting);
  const exec = { daemon: [] as number[], floor: [] as number[] };
  await execTrue(world, pod.containerId);
  await floor.exec(beside.id, ['true']);
  for (let round = 0; round < rounds; round += 1) {
    exec.daemon.push(await execTrue(world, pod.containerId));
    exec.floor.push(await floor.exec(beside.id, ['true']));
  }
  await beside.stop();
  return { ...exec, daemonParts: [], floorParts: [] };
}

/** Of the programs, and how busy the machine was. */
export async function versions(runtimePath: string): Promise<string> {
  const first = async (argv: readonly string[]): Promise<string> =>
    (await runOrThrow(argv)).split('\n')[0] ?? '';
  return [
    await first([runtimePath, '--version']),
    await first(['conmon', '--version']),
    `Node ${process.versions.node}`,
    `${cpus().length} CPUs`,
    `load average ${(loadavg()[0] ?? 0).toFixed(1)} at the end (2 is what this bench itself makes)`,
  ].join(', ');
}
