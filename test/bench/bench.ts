// What the bench measures, and how the pairs are interleaved.
import { parseArgs } from 'node:util';
import { writeFigures } from '../../scripts/support/figures.ts';
import { makeWorld } from '../e2e/support/world.ts';
import { runc14 } from '../support/tools/go-tools.ts';
import { HangingRuntime } from '../e2e/hung/support.ts';
import { whyNoDeadMount } from '../support/dead-mount.ts';
import { type Cpu, cpuPerPod } from './cpu.ts';
import { type DaemonPod, type Memory, memoryOf, startPod } from './daemon-pods.ts';
import { type Floor, templateName } from './floor.ts';
import { type GoCall, timedInGo } from './go-client.ts';
import { whileHanging } from './hanging.ts';
import { execPairs, GROUP, named, openFloor, pairs, type Sides, times, versions, WARM_UP } from './pairs.ts';
import { cpuText, type Pair, pairsText, type Report, reportText } from './report.ts';
import { PLAIN } from './setting.ts';
import { type Collector, startCollector } from './waterfall.ts';

/** Of each kind, one after the other. A daemon that has run for minutes has compiled them, as on a node. */
const READS = 3000;

/** Runs all of it. */
export async function bench(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string', default: '20' },
      groups: { type: 'string', default: '4' },
      crowd: { type: 'string', default: '50' },
      runtime: { type: 'string' },
      only: { type: 'string', default: '' },
      waterfall: { type: 'boolean', default: false },
    },
  });
  const runtimePath =
    values.runtime === undefined
      ? await runc14()
      : values.runtime === 'debian'
        ? '/usr/sbin/runc'
        : values.runtime;
  const hanging = new HangingRuntime();
  const collector = values.waterfall ? await startCollector() : undefined;
  const tracing = collector === undefined ? {} : { tracing: collector.address };
  const world = await makeWorld({
    name: 'bench',
    runtimePath,
    handlers: { hanging: hanging.path },
    stateInMemory: true,
    logLevel: 'info',
    ...tracing,
  });
  let floor: Floor | undefined;
  const cleanUp = async (): Promise<void> => {
    await floor?.close();
    await world.close();
    await collector?.close();
    hanging.dispose();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void world.close().finally(() => process.exit(130)));
  try {
    const image = await world.pull();
    const empty = memoryOf(world.instance.pid());
    const templates = {
      pod: await startPod(world, image, 'pod'),
      host: await startPod(world, image, 'host'),
    };
    floor = await openFloor(world, runtimePath, byName(templates));
    const sides = { world, image, floor };
    const sizes = {
      rounds: Number(values.rounds),
      groups: Number(values.groups),
      crowd: Number(values.crowd),
    };
    if (values.only === '') await measureAll({ sides, templates, empty, hanging, runtimePath, sizes });
    else await measureSome(values.only.split(','), { sides, templates, sizes, collector });
    for (const pod of Object.values(templates)) await pod.stop();
  } finally {
    await cleanUp();
  }
}

interface Sizes {
  readonly rounds: number;
  readonly groups: number;
  readonly crowd: number;
}

type Templates = Readonly<Record<'pod' | 'host', DaemonPod>>;

const byName = ({ pod, host }: Templates): ReadonlyMap<string, DaemonPod> =>
  new Map([
    [templateName('pod', PLAIN), pod],
    [templateName('host', PLAIN), host],
  ]);

type Rows = Readonly<Record<string, Pair>>;

/** Start and end of one pod after the other. */
async function aloneRows(sides: Sides, network: 'pod' | 'host', { rounds }: Sizes): Promise<Rows> {
  return named(network, 'alone', await pairs(sides, { network, rounds, width: 1 }));
}

/** Start and end of `GROUP` pods at once. */
async function groupRows(sides: Sides, network: 'pod' | 'host', { groups }: Sizes): Promise<Rows> {
  return named(network, `${GROUP} at once`, await pairs(sides, { network, rounds: groups, width: GROUP }));
}

interface Whole {
  readonly sides: Sides;
  readonly templates: Templates;
  readonly empty: Memory;
  readonly hanging: HangingRuntime;
  readonly runtimePath: string;
  readonly sizes: Sizes;
}

async function measureAll({ sides, templates, empty, hanging, runtimePath, sizes }: Whole): Promise<void> {
  const all: Record<string, Pair> = {};
  for (const network of ['pod', 'host'] as const) {
    await pairs(sides, { network, rounds: WARM_UP, width: 1 });
    console.log(`${network} network, alone: ${sizes.rounds} rounds`);
    Object.assign(all, await aloneRows(sides, network, sizes));
    console.log(`${network} network, ${GROUP} at once: ${sizes.groups} rounds`);
    Object.assign(all, await groupRows(sides, network, sizes));
  }
  const report: Report = {
    pairs: all,
    cpu: await cpuRows(sides, sizes.crowd),
    empty,
    ...(await crowded(sides, sizes.crowd)),
    exec: await execPairs(sides, templates.pod, sizes.rounds),
    hanging: whyNoDeadMount() === '' ? await whileHanging(sides.world, sides.image, hanging) : undefined,
    versions: await versions(runtimePath),
  };
  const text = reportText(report);
  console.log(`\n${text}`);
  writeFigures('bench', 'Bench', text);
}

interface Some {
  readonly sides: Sides;
  readonly templates: Templates;
  readonly sizes: Sizes;
  readonly collector: Collector | undefined;
}

/** Rows for whoever changes something: printed, never written down. */
async function measureSome(
  names: readonly string[],
  { sides, templates, sizes, collector }: Some,
): Promise<void> {
  const rowsOf: Readonly<Record<string, () => Promise<string>>> = {
    pod: async () => pairsText(await aloneRows(sides, 'pod', sizes)),
    pod10: async () => pairsText(await groupRows(sides, 'pod', sizes)),
    host: async () => pairsText(await aloneRows(sides, 'host', sizes)),
    host10: async () => pairsText(await groupRows(sides, 'host', sizes)),
    exec: async () =>
      pairsText({
        'ExecSync of true (floor: runc exec)': await execPairs(sides, templates.pod, sizes.rounds),
      }),
    cpu: async () => cpuText(await cpuRows(sides, sizes.crowd)),
  };
  await pairs(sides, { network: 'pod', rounds: WARM_UP, width: 1 });
  await collector?.settle();
  for (const name of names) {
    const measure = rowsOf[name];
    if (measure === undefined)
      throw new Error(`--only ${name}: one of ${Object.keys(rowsOf).join(', ')} is wanted`);
    collector?.clear();
    console.log(await measure());
    await collector?.settle();
    if (collector !== undefined) console.log(`\n${collector.text()}\n`);
  }
}

/** Processor time of `count` pods each: alone and many at once, with a network of their own and without. */
async function cpuRows({ world, image }: Sides, count: number): Promise<Report['cpu']> {
  const rows: Record<string, Cpu> = {};
  for (const [network, where] of [
    ['pod', 'CNI'],
    ['host', 'host network'],
  ] as const) {
    rows[`${where}, alone`] = await cpuPerPod(world, image, network, { count, width: 1 });
    rows[`${where}, ${GROUP} at once`] = await cpuPerPod(world, image, network, { count, width: GROUP });
  }
  return rows;
}

/** Memory and lists with many pods. */
async function crowded(
  { world, image }: Sides,
  count: number,
): Promise<Pick<Report, 'full' | 'podCount' | 'listContainers' | 'listSandboxes' | 'listById' | 'status'>> {
  const pods: DaemonPod[] = [];
  console.log(`${count} pods for memory and lists`);
  for (let done = 0; done < count; done += GROUP) {
    pods.push(
      ...(await Promise.all(times(Math.min(GROUP, count - done), () => startPod(world, image, 'host')))),
    );
  }
  const inGo = async (call: GoCall): Promise<readonly number[]> =>
    (await timedInGo(call, world.socket, READS)).took;
  const measured = {
    full: memoryOf(world.instance.pid()),
    podCount: count,
    listContainers: await inGo('list'),
    listSandboxes: await inGo('sandboxes'),
    listById: await inGo('one'),
    status: await inGo('status'),
  };
  for (let done = 0; done < count; done += GROUP)
    await Promise.all(pods.slice(done, done + GROUP).map((pod) => pod.stop()));
  return measured;
}
