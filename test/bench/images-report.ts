// The table of `bench -- images`.
import type { BesideRow } from './images-beside.ts';
import type { Cost, DaemonCost } from './images-sides.ts';
import { median, medianRatio, ms, quantile } from './stats.ts';

/** What is wanted (issue 17): a pull in at most so many times its floor. */
const WANTED_RATIO = 1.2;
/** As much: how much longer a pod's start may take beside ten pulls. */
const WANTED_BESIDE = 1.2;

/** One image; the n-th of both sides were measured in the same round. */
export interface ImageRow {
  readonly title: string;
  readonly what: string;
  readonly ours: readonly DaemonCost[];
  readonly theirs: readonly Cost[];
  /** Two threads that inflate and write; nothing where one layer keeps but one of them busy. */
  readonly floor: readonly Cost[];
  /** The same with both digests of each layer. */
  readonly floorWithDigests: readonly Cost[];
}

/** Seconds and requests of one pull, and of ten at once of the same image. */
export interface TenRow {
  readonly one: number[];
  readonly ten: number[];
  readonly requestsOfOne: number[];
  readonly requestsOfTen: number[];
}

export interface ImagesReport {
  readonly rows: readonly ImageRow[];
  readonly ten: TenRow | undefined;
  readonly beside: BesideRow | undefined;
  /** The page cache could be dropped. */
  readonly isCold: boolean;
  readonly versions: string;
}

/** Markdown. */
export function imagesText({ rows, ten, beside, isCold, versions }: ImagesReport): string {
  const cache = isCold
    ? 'the page cache dropped before each'
    : '**the page cache could not be dropped here**';
  return [
    `${versions}. Pulls from docker-registry on loopback into an empty store on a new ext4 of its own, ${cache}, a final sync of it counted. Beside it, in turn, \`skopeo copy\` of the same image into an overlay containers/storage; p50, and the ratio as the median of pairs. CPU is user and system time of the process that pulls.`,
    '',
    '| image | n | s | skopeo s | ratio | CPU s | skopeo CPU s | ratio | peak RSS above idle, MiB |',
    '|---|---|---|---|---|---|---|---|---|',
    ...rows.map(imageRow),
    '',
    ...rows.map(({ title, what }) => `- ${title}: ${what}`),
    ...floorRows(rows),
    ...(ten === undefined ? [] : ['', tenText(ten)]),
    ...(beside === undefined ? [] : ['', besideText(beside)]),
  ].join('\n');
}

function imageRow({ title, ours, theirs }: ImageRow): string {
  const figures = [secondsOf, cpuSeconds].flatMap((of) => {
    const [a, b] = [ours.map(of), theirs.map(of)];
    return [median(a), median(b), medianRatio(a, b)].map((value) => value.toFixed(2));
  });
  return `| ${title} | ${ours.length} | ${figures.join(' | ')} | ${Math.max(...ours.map(({ rssMiB }) => rssMiB)).toFixed(0)} |`;
}

/** The pull over the time in which two cores inflate and write; `ratio` is that of the medians. */
function floorRows(rows: readonly ImageRow[]): string[] {
  const measured = rows.filter(({ floor }) => floor.length > 0);
  if (measured.length === 0) return [];
  const cells = (ours: readonly Cost[], floor: readonly Cost[]): string => {
    const [pull, least] = [median(ours.map(secondsOf)), median(floor.map(secondsOf))];
    const [pullCpu, leastCpu] = [median(ours.map(cpuSeconds)), median(floor.map(cpuSeconds))];
    return [pull, least, pull / least, pullCpu, leastCpu, pullCpu / leastCpu]
      .map((value) => value.toFixed(2))
      .join(' | ');
  };
  return [
    '',
    "The floor, in turn with the pulls: two threads with Node's own zlib, a whole layer at a time from memory, write its files and links to the same disk with the final sync, without owners, modes and times; and the same with the sha256 of blob and tar.",
    '',
    `| pull over its floor | n | s | floor s | ratio of medians (wanted: ${WANTED_RATIO}) | CPU s | floor CPU s | ratio |`,
    '|---|---|---|---|---|---|---|---|',
    ...measured.flatMap(({ title, ours, floor, floorWithDigests }) => [
      `| ${title}: inflate and write | ${ours.length} | ${cells(ours, floor)} |`,
      `| ${title}: the same and both digests | ${ours.length} | ${cells(ours, floorWithDigests)} |`,
    ]),
  ];
}

const secondsOf = ({ seconds }: Cost): number => seconds;
const cpuSeconds = ({ cpu }: Cost): number => (cpu.user + cpu.system) / 1000;

function tenText({ one, ten, requestsOfOne, requestsOfTen }: TenRow): string {
  return [
    '| the image of 9 gzip layers, through a proxy that counts | n | s | requests |',
    '|---|---|---|---|',
    `| one PullImage | ${one.length} | ${median(one).toFixed(2)} | ${median(requestsOfOne)} |`,
    `| ten at once | ${ten.length} | ${median(ten).toFixed(2)} | ${median(requestsOfTen)} |`,
  ].join('\n');
}

function besideText({ alone, beside, pulls }: BesideRow): string {
  const ratio = median(beside) / median(alone);
  return [
    `| pod start on the host network, ms | n | p50 | p99 | ratio of medians (wanted: ${WANTED_BESIDE}) |`,
    '|---|---|---|---|---|',
    `| alone | ${alone.length} | ${ms(median(alone))} | ${ms(quantile(alone, 0.99))} | |`,
    `| while ten images are pulled (${pulls} pulls in all) | ${beside.length} | ${ms(median(beside))} | ${ms(quantile(beside, 0.99))} | ${ratio.toFixed(2)} |`,
  ].join('\n');
}
