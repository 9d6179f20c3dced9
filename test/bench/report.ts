// The bench's table.
import type { Cpu } from './cpu.ts';
import type { Memory } from './daemon-pods.ts';
import type { Parts } from './floor.ts';
import type { Hanging } from './hanging.ts';
import { median, medianRatio, ms, quantile } from './stats.ts';

/** The same thing done by the daemon and by the bare loop, in ms; the n-th of both were done in the same round. */
export interface Pair {
  readonly daemon: readonly number[];
  readonly floor: readonly number[];
  readonly daemonParts: readonly Parts[];
  readonly floorParts: readonly Parts[];
}

export interface Report {
  readonly pairs: Readonly<Record<string, Pair>>;
  readonly exec: Pair;
  /** Of the daemon's process, for one pod's life. */
  readonly cpu: Readonly<Record<string, Cpu>>;
  readonly empty: Memory;
  readonly full: Memory;
  readonly podCount: number;
  readonly listContainers: readonly number[];
  readonly listSandboxes: readonly number[];
  readonly listById: readonly number[];
  readonly status: readonly number[];
  /** Undefined where no file system can be made to hang. */
  readonly hanging: Hanging | undefined;
  readonly versions: string;
}

/** Markdown. */
export function reportText(report: Report): string {
  const { empty, full, podCount } = report;
  const exec = { 'ExecSync of true (floor: runc exec)': report.exec };
  const mib = (value: number): string => value.toFixed(0);
  return [
    `${report.versions}. All times in ms, those of calls by a client in Go as the kubelet is one. The floor is the same plugins, conmon and runtime called in sequence by a bare loop, in the same run, in turn with the daemon; the ratio is the median of pairs.`,
    '',
    pairsText({ ...report.pairs, ...exec }),
    '',
    cpuText(report.cpu),
    '',
    '| memory of the daemon, MiB | RSS | PSS | anonymous |',
    '|---|---|---|---|',
    `| no pod | ${mib(empty.rss)} | ${mib(empty.pss)} | ${mib(empty.anonymous)} |`,
    `| ${podCount} pods | ${mib(full.rss)} | ${mib(full.pss)} | ${mib(full.anonymous)} |`,
    '',
    `| with ${podCount} pods | p50 | p99 |`,
    '|---|---|---|',
    ...(
      [
        ['ListContainers', report.listContainers],
        ['ListPodSandbox', report.listSandboxes],
        ['ListContainers by id', report.listById],
        ['ContainerStatus', report.status],
      ] as const
    ).map(
      ([name, values]) =>
        `| ${name} | ${quantile(values, 0.5).toFixed(2)} | ${quantile(values, 0.99).toFixed(2)} |`,
    ),
    ...(report.hanging === undefined ? [] : hangingRows(report.hanging)),
  ].join('\n');
}

export const PAIR_HEAD = 'n | p50 | p99 | floor p50 | floor p99 | ratio';

/** The rows of the pairs, and the inputs of each. */
export function pairsText(pairs: Readonly<Record<string, Pair>>): string {
  const inParts = Object.entries(pairs).filter(([, { daemonParts }]) => daemonParts.length > 0);
  return [
    `| what | ${PAIR_HEAD} |`,
    '|---|---|---|---|---|---|---|',
    ...Object.entries(pairs).map(([name, pair]) => `| ${name} | ${pairCells(pair)} |`),
    ...(inParts.length === 0 ? [] : ['', 'Parts, median:', '']),
    ...inParts.map(
      ([name, pair]) => `- ${name}: ${partsText(pair.daemonParts)}; floor: ${partsText(pair.floorParts)}`,
    ),
  ].join('\n');
}

/** Does not depend on who else uses the machine, as far as caches go. */
export function cpuText(rows: Report['cpu']): string {
  return [
    "| the daemon's processor time for one pod's life, ms | user | system | both |",
    '|---|---|---|---|',
    ...Object.entries(rows).map(
      ([name, { user, system }]) => `| ${name} | ${ms(user)} | ${ms(system)} | ${ms(user + system)} |`,
    ),
  ].join('\n');
}

function hangingRows({ listContainers, listSandboxes, status, explain, podStart }: Hanging): string[] {
  const rows = [
    ['ListContainers', listContainers],
    ['ListPodSandbox', listSandboxes],
    ['Status', status],
    ['Explain (troupe why)', explain],
    ['pod start, CNI', podStart],
  ] as const;
  return [
    '',
    '| while eight pods hang on dead mounts and one on its runtime | p50 | p99 |',
    '|---|---|---|',
    ...rows.map(
      ([name, values]) =>
        `| ${name} | ${quantile(values, 0.5).toFixed(2)} | ${quantile(values, 0.99).toFixed(2)} |`,
    ),
  ];
}

/** The row below `PAIR_HEAD`, without the columns before it. */
export function pairCells({ daemon, floor }: Pick<Pair, 'daemon' | 'floor'>): string {
  return [
    daemon.length,
    ms(quantile(daemon, 0.5)),
    ms(quantile(daemon, 0.99)),
    ms(quantile(floor, 0.5)),
    ms(quantile(floor, 0.99)),
    medianRatio(daemon, floor).toFixed(2),
  ].join(' | ');
}

function partsText(parts: readonly Parts[]): string {
  const names = Object.keys(parts[0] ?? {});
  return names
    .map((name) => `${name} ${ms(median(parts.map((one) => one[name] ?? Number.NaN)))}`)
    .join(' + ');
}
