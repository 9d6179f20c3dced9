/** A soak as text: its verdict first. */
import { median, quantile } from '../../bench/stats.ts';
import type { Recorded } from './record.ts';
import type { Sample } from './sample.ts';
import {
  compared,
  type Curve,
  judge,
  type Judged,
  LASTING,
  longProcesses,
  MEMORY,
  restDifferences,
} from './verdict.ts';

/** Kinds of calls that are printed. */
const KINDS: readonly string[] = [
  'runPodSandbox',
  'createContainer',
  'startContainer',
  'stopContainer',
  'removeContainer',
  'stopPodSandbox',
  'removePodSandbox',
  'execSync',
  'listPodSandbox',
  'listContainers',
  'listContainerStats',
  'listPodSandboxStats',
  'listPodSandboxMetrics',
  'containerStatus',
  'pullImage',
  'removeImage',
  'reopenContainerLog',
];

/** What is wrong, in words; empty when all is flat and nothing is left. */
export function problems({ samples, end }: Recorded): readonly string[] {
  const grown = curves(samples)
    .flatMap(({ where, rows }) => rows.map((row) => ({ where, ...row })))
    .filter(({ isFlat }) => !isFlat)
    .map(({ where, name, early, late }) => `${name} grew from ${short(early)} to ${short(late)} (${where})`);
  if (end === undefined) return [...grown, 'the run was broken off'];
  return [
    ...grown,
    ...restDifferences(end.before, end.after),
    ...(end.foundInAll > 0 ? [`${end.foundInAll} findings`] : []),
    ...(end.check === '' ? [] : ['troupe check is not clean']),
    ...(end.leftovers.length > 0 ? [`${end.leftovers.length} things are left on the machine`] : []),
  ];
}

interface Part {
  readonly where: string;
  readonly rows: readonly Judged[];
}

/** The whole run, and each process that lived for long. */
function curves(samples: readonly Sample[]): readonly Part[] {
  const part = (where: string, list: readonly Curve[], of: readonly Sample[]): Part => ({
    where,
    rows: list.map((curve) => judge(curve, of)),
  });
  return [
    part('whole run', [...MEMORY, ...LASTING], samples),
    ...longProcesses(samples).map(({ from, to, samples: of }) =>
      part(`one process, minute ${from.toFixed(0)} to ${to.toFixed(0)}`, MEMORY, of),
    ),
  ];
}

const short = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(1));

/** Markdown. */
export function soakText(recorded: Recorded, pictures: string): string {
  const { head, samples, end } = recorded;
  const wrong = problems(recorded);
  const rest =
    end === undefined
      ? []
      : [
          `Done: ${Object.entries(end.done)
            .map(([what, count]) => `${count} ${what}`)
            .join(
              ', ',
            )}. ${end.kills} SIGKILLs of the daemon; ${end.disturbed} calls failed at one of them. At rest after the load the daemon has ${end.after.descriptors} descriptors (before it ${end.before.descriptors}) and ${short(end.after.pss)} MiB PSS (${short(end.before.pss)}).`,
          '',
        ];
  return [
    `${short((samples.at(-1)?.at ?? 0) / 60)} minutes of mixed load on one daemon (bin/troupe, which ran ${head.program}) with ${head.pods} pods that stay and ${head.churners} workers that make and remove others. ${head.cpus} CPUs${end === undefined ? '' : `, load average ${short(end.average)} at the end`}. A sample each 10 s. Wanted: the last third is not above the second sixth by more than the bound; latency is printed only.`,
    '',
    wrong.length === 0 ? '**Flat, and nothing is left.**' : `**NOT flat: ${wrong.join('; ')}.**`,
    '',
    ...rest,
    ...curves(samples).flatMap(tableOf),
    ...latencyTable(samples),
    '',
    ...(end?.findings ?? []).map((line) => `- ${printable(line)}`),
    ...(end?.leftovers ?? []).map((line) => `- left: ${printable(line)}`),
    ...(end === undefined || end.check === '' ? [] : [`- ${printable(end.check)}`]),
    pictures,
  ].join('\n');
}

/** On one line, and without the instance's directory, which means nothing on another machine. */
const printable = (line: string): string =>
  line.replaceAll('\n', ' ').replaceAll(/\/[^\s"=]*\/trsoak\d+-\w+/gu, '…');

const tableOf = ({ where, rows }: Part): readonly string[] => [
  `| ${where} | second sixth | last third | may grow by | flat |`,
  '|---|---|---|---|---|',
  ...rows.map(
    ({ name, unit, early, late, mayGrow, isFlat }) =>
      `| ${name}${unit === '' ? '' : `, ${unit}`} | ${short(early)} | ${short(late)} | ${mayGrow} | ${isFlat ? 'yes' : 'NO'} |`,
  ),
  '',
];

function latencyTable(samples: readonly Sample[]): readonly string[] {
  const { early, late } = compared(samples);
  const of = (list: readonly Sample[], kind: string, key: 'p50' | 'p99'): string => {
    const values = list.flatMap((sample) => sample.calls[kind]?.[key] ?? []);
    return values.length === 0 ? '–' : median(values).toFixed(1);
  };
  const lag = (list: readonly Sample[], q: number): string =>
    quantile(
      list.map((sample) => sample.lag.max),
      q,
    ).toFixed(0);
  return [
    '| latency, ms | second sixth p50 | p99 | last third p50 | p99 |',
    '|---|---|---|---|---|',
    ...KINDS.map(
      (kind) =>
        `| ${kind} | ${of(early, kind, 'p50')} | ${of(early, kind, 'p99')} | ${of(late, kind, 'p50')} | ${of(late, kind, 'p99')} |`,
    ),
    `| longest stop of the event loop in 10 s | ${lag(early, 0.5)} | ${lag(early, 0.99)} | ${lag(late, 0.5)} | ${lag(late, 0.99)} |`,
  ];
}
