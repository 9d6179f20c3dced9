// `npm run bench -- settings`: the bench in the settings that clusters have. Each beside its own floor, which has the
// same configuration, so that what a profile or a user namespace costs the runtime is on both sides. `--runtime PATH`:
// another one than the newest runc, `--rounds N` alone and `--groups N` of ten at once.
import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkout } from '../../scripts/support/checkout.ts';
import { writeFigures } from '../../scripts/support/figures.ts';
import { makeWorld } from '../e2e/support/world.ts';
import { runc14 } from '../support/tools/go-tools.ts';
import { type Bar, barsText } from './bars.ts';
import { type DaemonPod, startPod } from './daemon-pods.ts';
import { type Floor, templateName } from './floor.ts';
import { execPairs, GROUP, type LifeCpu, openFloor, pairs, type Sides, versions, WARM_UP } from './pairs.ts';
import { PROBED, type Probes, probes } from './probes.ts';
import { PAIR_HEAD, type Pair, pairCells } from './report.ts';
import { type Setting, SETTINGS } from './setting.ts';
import { ms, quantile } from './stats.ts';

/** What was measured in one setting. */
interface Measured {
  readonly setting: Setting;
  readonly rows: Readonly<Record<string, Pair>>;
  readonly cpu: Readonly<Record<string, LifeCpu>>;
  readonly probes: Probes;
}

/** Prints the table and the pictures, and writes both. */
export async function settingsBench(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string', default: '15' },
      groups: { type: 'string', default: '4' },
      runtime: { type: 'string' },
    },
  });
  const runtimePath = values.runtime ?? (await runc14());
  const world = await makeWorld({ name: 'bench', runtimePath, stateInMemory: true, logLevel: 'info' });
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void world.close().finally(() => process.exit(130)));
  let floor: Floor | undefined;
  try {
    const image = await world.pull();
    const templates = new Map<string, DaemonPod>();
    for (const setting of SETTINGS)
      templates.set(templateName('pod', setting), await startPod(world, image, 'pod', setting));
    floor = await openFloor(world, runtimePath, templates);
    const sides = { world, image, floor };
    const sizes = { rounds: Number(values.rounds), groups: Number(values.groups) };
    const measured: Measured[] = [];
    for (const setting of SETTINGS)
      measured.push(await measure(sides, setting, templates.get(templateName('pod', setting)), sizes));
    const about = await versions(runtimePath);
    for (const pod of templates.values()) await pod.stop();
    report(basename(runtimePath), about, measured);
  } finally {
    await floor?.close();
    await world.close();
  }
}

async function measure(
  sides: Sides,
  setting: Setting,
  beside: DaemonPod | undefined,
  { rounds, groups }: { readonly rounds: number; readonly groups: number },
): Promise<Measured> {
  if (beside === undefined) throw new Error(`no pod with ${setting.name} runs`);
  console.log(setting.name);
  const of = { network: 'pod', setting } as const;
  await pairs(sides, { ...of, rounds: WARM_UP, width: 1 });
  const alone = await pairs(sides, { ...of, rounds, width: 1 });
  const many = await pairs(sides, { ...of, rounds: groups, width: GROUP });
  return {
    setting,
    rows: {
      'pod start, alone': alone.start,
      'stop and remove, alone': alone.stop,
      [`pod start, ${GROUP} at once`]: many.start,
      [`stop and remove, ${GROUP} at once`]: many.stop,
      'ExecSync of true': await execPairs(sides, beside, rounds, setting),
    },
    cpu: { 'a life, alone': alone.cpu, [`a life, ${GROUP} at once`]: many.cpu },
    probes: await probes(sides, setting),
  };
}

function report(runtime: string, about: string, measured: readonly Measured[]): void {
  const probed = `probe a second in each of ${PROBED.pods} pods`;
  const text = [
    `${about}. ms; the floor has the same configuration, and the ratio is the median of pairs. Pods with a network of CNI.`,
    '',
    `| setting | what | ${PAIR_HEAD} |`,
    '|---|---|---|---|---|---|---|---|',
    ...measured.flatMap(({ setting, rows, probes: ofProbes }) =>
      [...Object.entries(rows), [probed, ofProbes] as const].map(
        ([what, pair]) => `| ${setting.name} | ${what} | ${pairCells(pair)} |`,
      ),
    ),
    '',
    '| processor time, ms | of | the daemon | all on its side | floor |',
    '|---|---|---|---|---|',
    ...measured.flatMap(({ setting, cpu, probes: { cpu: ofProbe } }) =>
      [...Object.entries(cpu), [probed, ofProbe] as const].map(
        ([of, { daemon, all, floor }]) =>
          `| ${setting.name} | ${of} | ${ms(daemon)} | ${ms(all)} | ${ms(floor)} |`,
      ),
    ),
    '',
    `![pod start in each setting](pictures/bench-settings-${runtime}.svg)`,
  ].join('\n');
  console.log(`\n${text}`);
  writeFigures(`bench settings, ${runtime}`, `Bench: the settings of clusters, ${runtime}`, text);
  draw(runtime, measured);
}

function draw(runtime: string, measured: readonly Measured[]): void {
  const bars: readonly Bar[] = measured.flatMap(({ setting, rows }) =>
    Object.entries(rows).map(([what, { daemon, floor }]) => ({
      group: setting.name,
      name: what,
      value: quantile(daemon, 0.5),
      upTo: quantile(daemon, 0.99),
      floor: quantile(floor, 0.5),
    })),
  );
  const directory = join(checkout, 'docs/pictures');
  mkdirSync(directory, { recursive: true });
  const title = `Median and 99th percentile in ms, ${runtime}; the mark is the median of the floor`;
  writeFileSync(join(directory, `bench-settings-${runtime}.svg`), barsText(title, bars));
}
