// `sudo npm run bench -- images [--rounds N] [--only 9,1,zstd,ten,beside]`: cold pulls from Debian's docker-registry on
// loopback, in turn with `skopeo copy` of the same image into an overlay containers/storage, each onto a file system
// and by a process of its own. The page cache is dropped before each and a final sync counts on both sides. With
// `--only` nothing is written down.
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeFigures } from '../../scripts/support/figures.ts';
import { pushImage, startRegistry } from '../support/docker-registry/start.ts';
import { ContainersTools } from '../support/tools/skopeo.ts';
import { measureBeside } from './images-beside.ts';
import { type Compression, type FloorLayer, makeContent, NINE } from './images-content.ts';
import { BenchDisk } from './images-disk.ts';
import { writeFloor } from './images-floor.ts';
import { type ImageRow, imagesText, type TenRow } from './images-report.ts';
import { type Cost, type DaemonCost, daemonPull, dropCaches, skopeoPull } from './images-sides.ts';

const IMAGES: Readonly<
  Record<
    string,
    { readonly sizes: readonly number[]; readonly compression: Compression; readonly title: string }
  >
> = {
  '9': { sizes: NINE, compression: 'gzip', title: '9 gzip layers' },
  '1': { sizes: [100], compression: 'gzip', title: '1 gzip layer' },
  zstd: { sizes: NINE, compression: 'zstd', title: '9 zstd layers' },
};
const TEN = 10;

/** Runs and prints it. */
export async function imagesBench(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: { rounds: { type: 'string', default: '5' }, only: { type: 'string', default: '' } },
  });
  const wanted = values.only === '' ? [...Object.keys(IMAGES), 'ten', 'beside'] : values.only.split(',');
  const rounds = Number(values.rounds);
  const directory = await mkdtemp(join(tmpdir(), 'troupe-bench-images-'));
  const disk = await BenchDisk.make(directory);
  const registry = await startRegistry({ root: directory });
  // what is mounted goes with the mount namespace, once the last process in it has ended
  const stop = async (): Promise<void> => {
    await registry.stop();
    await rm(directory, { recursive: true, force: true });
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void stop().finally(() => process.exit(130)));
  const world: World = {
    disk,
    registry: registry.address,
    counting: await countingProxy(registry.address),
    rounds,
  };
  try {
    const rows: ImageRow[] = [];
    for (const name of wanted.filter((one) => one !== 'ten' && one !== 'beside'))
      rows.push(await measureImage(world, name));
    const ten = wanted.includes('ten') ? await measureTen(world) : undefined;
    const beside = wanted.includes('beside') ? await measureBeside(rounds) : undefined;
    const text = imagesText({
      rows,
      ten,
      beside,
      isCold: await dropCaches(),
      versions: await versions(directory),
    });
    console.log(`\n${text}`);
    if (values.only === '') writeFigures('bench images', 'Bench: images', text);
  } finally {
    world.counting.server.close();
    await stop();
  }
}

interface World {
  readonly disk: BenchDisk;
  /** `127.0.0.1:port`, as the proxy's. */
  readonly registry: string;
  readonly counting: Counting;
  readonly rounds: number;
}

/** In turn; who goes first changes each round. */
async function measureImage({ disk, registry, rounds }: World, name: string): Promise<ImageRow> {
  const { title, reference, what, layers } = await push(registry, name);
  const ours: DaemonCost[] = [];
  const theirs: Cost[] = [];
  const floor: Cost[] = [];
  const floorWithDigests: Cost[] = [];
  const turns = [
    async () => void ours.push(await daemonPull(disk, reference)),
    async () => void theirs.push(await skopeoPull(disk, reference)),
  ];
  // one layer keeps one thread busy: that is no floor for a pull, which has more
  if (layers.length > 1) {
    turns.push(
      async () => void floor.push(await writeFloor(disk, layers, false)),
      async () => void floorWithDigests.push(await writeFloor(disk, layers, true)),
    );
  }
  for (let round = 0; round < rounds; round += 1) {
    for (const turn of round % 2 === 0 ? turns : turns.toReversed()) await turn();
    const sides = { skopeo: theirs, floor, 'floor with digests': floorWithDigests };
    const others = Object.entries(sides).map(([side, costs]) => `; ${side} ${shown(costs.at(-1))}`);
    console.log(`${title}, round ${round + 1}: ${shown(ours.at(-1))}${others.join('')}`);
  }
  return { title, what, ours, theirs, floor, floorWithDigests };
}

const shown = (cost: Cost | undefined): string =>
  cost === undefined
    ? 'none'
    : `${cost.seconds.toFixed(2)} s, CPU ${(cost.cpu.user / 1000).toFixed(2)} + ${(cost.cpu.system / 1000).toFixed(2)} s`;

async function measureTen({ disk, registry, counting, rounds }: World): Promise<TenRow> {
  const { reference } = await push(registry, '9');
  const name = reference.replace(registry, counting.address);
  const row: TenRow = { one: [], ten: [], requestsOfOne: [], requestsOfTen: [] };
  for (let round = 0; round < rounds; round += 1) {
    for (const count of [1, TEN]) {
      const before = counting.requests();
      const { seconds } = await daemonPull(disk, name, count);
      (count === 1 ? row.one : row.ten).push(seconds);
      (count === 1 ? row.requestsOfOne : row.requestsOfTen).push(counting.requests() - before);
    }
    console.log(
      `one pull and ten at once, round ${round + 1}: ${row.one.at(-1)?.toFixed(2)} s, ${row.ten.at(-1)?.toFixed(2)} s`,
    );
  }
  return row;
}

interface Pushed {
  readonly title: string;
  readonly reference: string;
  readonly what: string;
  readonly layers: readonly FloorLayer[];
}

async function push(registry: string, name: string): Promise<Pushed> {
  const plan = IMAGES[name];
  if (plan === undefined)
    throw new Error(`--only ${name}: some of ${Object.keys(IMAGES).join(', ')}, ten, beside are wanted`);
  const {
    image,
    files,
    tarBytes,
    blobBytes,
    floor: layers,
  } = await makeContent(plan.sizes, plan.compression);
  await pushImage(registry, `bench/image-${name}:1`, image);
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);
  const what = `${megabytes(blobBytes)} MB, unpacked ${megabytes(tarBytes)} MB in ${files} files and links`;
  console.log(`${plan.title}: ${what}`);
  return { title: plan.title, reference: `${registry}/bench/image-${name}:1`, what, layers };
}

interface Counting {
  readonly address: string;
  readonly server: Server;
  readonly requests: () => number;
}

/** Counts the requests on their way to the registry. */
async function countingProxy(target: string): Promise<Counting> {
  let requests = 0;
  const server = createServer((incoming, outgoing) => {
    requests += 1;
    const { method, headers, url } = incoming;
    const onward = request(`http://${target}${url}`, { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on('error', () => outgoing.destroy());
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, server, requests: () => requests };
}

async function versions(directory: string): Promise<string> {
  const skopeo = await new ContainersTools(join(directory, 'tools')).version();
  return `${skopeo}, Node ${process.versions.node}, ${cpus().length} CPUs, load average ${(loadavg()[0] ?? 0).toFixed(1)} at the end (2 is what this bench itself makes)`;
}
