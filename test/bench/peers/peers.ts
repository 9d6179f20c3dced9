// `sudo npm run bench -- peers [--rounds N] [--groups N] [--pods N] [--restarts N,N]`: ours beside containerd and
// CRI-O on this machine.
// The same client, image, runc, CNI chain and kind of directories; each round takes every runtime in turn.
import { readdirSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { busyboxImage, busyboxLayer } from '../../../scripts/support/busybox-image.ts';
import { type Image, imageOf } from '../../../scripts/support/image.ts';
import { writeFigures } from '../../../scripts/support/figures.ts';
import { startTinyRegistry } from '../../../scripts/support/tiny-registry.ts';
import { makeWorld } from '../../e2e/support/world.ts';
import { staticBusybox } from '../../support/tools/debian.ts';
import { runc14 } from '../../support/tools/go-tools.ts';
import { type DaemonPod, execTrue, latencies, memoryOf, type PodPlace, startPod } from '../daemon-pods.ts';
import { total } from '../floor.ts';
import { cpuOf } from '../cpu.ts';
import { timedInGo } from '../go-client.ts';
import { makeContent, NINE } from '../images-content.ts';
import { dropCaches } from '../images-sides.ts';
import { PLAIN, type Setting } from '../setting.ts';
import { median, ms, quantile } from '../stats.ts';
import { containerdKind, crioKind } from './kinds.ts';
import { type Peer, startPeer, untilListed } from './peer.ts';

const WARM_UP = 3;
const GROUP = 10;
const CALLS = 3000;
const RESTARTS = 3;
/** As the kubelet secures pods with SeccompDefault. */
const SECURED: Setting = { name: 'RuntimeDefault', hasSeccomp: true, hasUsers: false };
/** An image of 110 MB in nine gzip layers. */
const LARGE = 'bench/large:1';

/** One of the runtimes. */
interface Side extends PodPlace, Pick<Peer, 'name' | 'client' | 'pid' | 'tag' | 'startAnew'> {
  readonly image: string;
}

/** Row, then runtime, then values. */
type Table = Map<string, Map<string, number[]>>;

/** Runs all of it and writes the table. */
export async function peersBench(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string', default: '15' },
      groups: { type: 'string', default: '4' },
      pods: { type: 'string', default: '50' },
      restarts: { type: 'string', default: '2,100' },
    },
  });
  const runtimePath = await runc14();
  const pause = imageOf({ Entrypoint: ['/bin/sleep', '1000000'] }, [busyboxLayer(staticBusybox())]);
  const { image: large } = await makeContent(NINE, 'gzip');
  const registry = await startTinyRegistry(
    new Map([
      ['pause:1', pause],
      ['test/busybox:1', busyboxImage(staticBusybox())],
      [LARGE, large],
    ]),
  );
  const closing: (() => Promise<void>)[] = [() => registry.stop()];
  const close = async (): Promise<void> => {
    for (const one of closing.splice(0).toReversed()) await one();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void close().finally(() => process.exit(130)));
  try {
    const sides = [await ourSide(runtimePath, large, closing)];
    for (const [index, kind] of [containerdKind, crioKind].entries()) {
      const peer = await startPeer(kind, index, { registry: registry.address, runtimePath });
      closing.push(peer.close);
      const imageName = `${registry.address}/test/busybox:1`;
      const { imageRef } = await peer.client.image.pullImage({ image: { image: imageName } });
      sides.push({ ...peer, imageName, image: imageRef });
    }
    const table: Table = new Map();
    await coldPulls(table, sides);
    await lives(table, sides, { rounds: Number(values.rounds), groups: Number(values.groups) });
    await crowded(table, sides, Number(values.pods));
    for (const count of values.restarts.split(',')) await restarts(table, sides, Number(count));
    const text = tableText(
      table,
      sides.map(({ name }) => name),
    );
    console.log(`\n${text}`);
    writeFigures('bench peers', 'Bench: beside containerd and CRI-O', text);
  } finally {
    await close();
  }
}

async function ourSide(runtimePath: string, large: Image, closing: (() => Promise<void>)[]): Promise<Side> {
  const images = new Map([[LARGE, large]]);
  const world = await makeWorld({
    name: 'peer',
    runtimePath,
    stateInMemory: true,
    logLevel: 'info',
    images,
  });
  closing.push(() => world.close());
  const { instance, client, logs, imageName } = world;
  const startAnew = async (): Promise<number> => {
    await instance.kill();
    const startedAt = performance.now();
    const started = instance.start();
    await untilListed(instance.socket, () => Promise.resolve(undefined));
    const took = performance.now() - startedAt;
    await started;
    return took;
  };
  return {
    name: 'troupe',
    client,
    socket: instance.socket,
    logs,
    imageName,
    image: await world.pull(),
    pid: () => instance.pid(),
    tag: instance.words[0] ?? '',
    startAnew,
  };
}

/**
 * One pull each, onto a file system on which nothing was deleted just before: ext4 passes over such inodes for a
 * minute.
 */
async function coldPulls(table: Table, sides: readonly Side[]): Promise<void> {
  for (const side of sides) {
    console.log(`cold pull by ${side.name}`);
    const image = side.imageName.replace('test/busybox:1', LARGE);
    await dropCaches();
    note(
      table,
      'cold pull of 110 MB in nine gzip layers, s',
      side,
      (await latencies(1, () => side.client.image.pullImage({ image: { image } }))).map(
        (took) => took / 1000,
      ),
    );
  }
}

interface Lives {
  readonly rounds: number;
  readonly groups: number;
}

/** Pods' lives, alone and ten at once, with a network of their own and without; and exec. */
async function lives(table: Table, sides: readonly Side[], { rounds, groups }: Lives): Promise<void> {
  for (const network of ['pod', 'host'] as const) {
    const where = network === 'pod' ? 'CNI' : 'host network';
    for (const side of sides) for (let warm = 0; warm < WARM_UP; warm += 1) await life(side, network, 1);
    for (const [width, count, how] of [
      [1, rounds, 'alone'],
      [GROUP, groups, `${GROUP} at once`],
    ] as const) {
      console.log(`${where}, ${how}`);
      const spent = new Map<Side, number>();
      await inTurn(sides, count, async (side) => {
        const before = cpuMs(side);
        const { starts, stops } = await life(side, network, width);
        spent.set(side, (spent.get(side) ?? 0) + cpuMs(side) - before);
        note(table, `pod start, ${where}, ${how}, ms`, side, starts);
        note(table, `stop and remove, ${where}, ${how}, ms`, side, stops);
      });
      for (const [side, all] of spent)
        note(table, `the daemon's own CPU for a pod's life, ${where}, ${how}, ms`, side, [
          all / (count * width),
        ]);
    }
  }
  console.log(SECURED.name);
  await inTurn(sides, rounds, async (side) => {
    const { starts } = await life(side, 'pod', 1, SECURED);
    note(table, `pod start, CNI, ${SECURED.name}, alone, ms`, side, starts);
  });
  for (const setting of [PLAIN, SECURED]) await execs(table, sides, rounds, setting);
}

/** Of the daemon's process: what shims and monitors take is not in it. */
function cpuMs({ pid }: Side): number {
  const { user, system } = cpuOf(pid());
  return user + system;
}

async function execs(table: Table, sides: readonly Side[], rounds: number, setting: Setting): Promise<void> {
  console.log(`exec, ${setting.name}`);
  const pods = new Map<Side, DaemonPod>();
  for (const side of sides) pods.set(side, await startPod(side, side.image, 'host', setting));
  const row = setting === PLAIN ? 'ExecSync of true, ms' : `ExecSync of true, ${setting.name}, ms`;
  await inTurn(sides, rounds, async (side) => {
    const { containerId = '' } = pods.get(side) ?? {};
    note(table, row, side, [await execTrue(side, containerId), await execTrue(side, containerId)]);
  });
  for (const pod of pods.values()) await pod.stop();
}

async function life(
  side: Side,
  network: 'pod' | 'host',
  width: number,
  setting = PLAIN,
): Promise<{ readonly starts: number[]; readonly stops: number[] }> {
  const pods = await Promise.all(
    Array.from({ length: width }, () => startPod(side, side.image, network, setting)),
  );
  const ends = await Promise.all(pods.map((pod) => pod.stop()));
  return { starts: pods.map(({ startParts }) => total(startParts)), stops: ends.map(total) };
}

/** Each round begins with another one. */
async function inTurn(
  sides: readonly Side[],
  rounds: number,
  turn: (side: Side) => Promise<void>,
): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    for (let at = 0; at < sides.length; at += 1) {
      const side = sides[(round + at) % sides.length];
      if (side !== undefined) await turn(side);
    }
  }
}

/** Starts pods on the host's network, a group at a time. */
async function startPods(side: Side, count: number): Promise<DaemonPod[]> {
  const pods: DaemonPod[] = [];
  while (pods.length < count) {
    const length = Math.min(GROUP, count - pods.length);
    pods.push(...(await Promise.all(Array.from({ length }, () => startPod(side, side.image, 'host')))));
  }
  return pods;
}

async function stopPods(pods: readonly DaemonPod[]): Promise<void> {
  for (let done = 0; done < pods.length; done += GROUP)
    await Promise.all(pods.slice(done, done + GROUP).map((pod) => pod.stop()));
}

async function restarts(table: Table, sides: readonly Side[], count: number): Promise<void> {
  for (const side of sides) {
    console.log(`restart with ${count} pods of ${side.name}`);
    const pods = await startPods(side, count);
    for (let done = 0; done < RESTARTS; done += 1)
      note(table, `from kill -9 and a start to the lists of ${count} pods, ms`, side, [
        await side.startAnew(),
      ]);
    await stopPods(pods);
  }
}

/** Lists and memory with many pods. */
async function crowded(table: Table, sides: readonly Side[], count: number): Promise<void> {
  for (const side of sides) {
    console.log(`${count} pods of ${side.name}`);
    const pods = await startPods(side, count);
    const { runtime } = side.client;
    const reads = {
      [`ListContainers of ${count}`]: 'list',
      [`ListPodSandbox of ${count}`]: 'sandboxes',
      'ListContainers by id': 'one',
      ContainerStatus: 'status',
    } as const;
    for (const [name, call] of Object.entries(reads))
      note(table, `${name}, ms`, side, (await timedInGo(call, side.socket, CALLS)).took);
    note(
      table,
      `ListContainerStats of ${count}, ms`,
      side,
      await latencies(GROUP, () => runtime.listContainerStats({})),
    );
    note(table, `memory of the daemon with ${count} pods, PSS, MiB`, side, [memoryOf(side.pid()).pss]);
    note(table, `memory of its helpers with ${count} pods, PSS, MiB`, side, [helpersPss(side)]);
    await stopPods(pods);
  }
}

/** What monitors, shims and pauses take: of all processes that name the side's directories, or hold a pod up. */
function helpersPss({ tag, pid }: Side): number {
  let sum = 0;
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/u.test(name) || Number(name) === pid()) continue;
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ');
      const isPause =
        command.includes('sleep 1000000') && readFileSync(`/proc/${name}/cgroup`, 'utf8').includes(tag);
      if (command.includes(tag) || isPause) sum += memoryOf(Number(name)).pss;
    } catch {
      // it ended meanwhile
    }
  }
  return sum;
}

function note(table: Table, row: string, { name }: Side, values: readonly number[]): void {
  const cells = table.get(row) ?? new Map<string, number[]>();
  table.set(row, cells);
  cells.set(name, [...(cells.get(name) ?? []), ...values]);
}

function tableText(table: Table, names: readonly string[]): string {
  const cell = (values: readonly number[]): string =>
    values.length > 1 ? `${ms(median(values))} (${ms(quantile(values, 0.99))})` : ms(values[0] ?? Number.NaN);
  return [
    'The same client, image, runc 1.4, CNI chain and kind of directories (state in a tmpfs), each round in turn: containerd 2.4.2 with',
    'its shim and a pause process for each pod, CRI-O 1.36.3 with conmon and pinned namespaces. Median, and p99 in brackets.',
    '',
    `| what | ${names.join(' | ')} |`,
    `|---|${names.map(() => '---').join('|')}|`,
    ...[...table].map(
      ([row, cells]) => `| ${row} | ${names.map((name) => cell(cells.get(name) ?? [])).join(' | ')} |`,
    ),
  ].join('\n');
}
