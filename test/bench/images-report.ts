// The table of `bench -- images`.
import type { Cost, DaemonCost } from './images-sides.ts';
import { median, medianRatio } from './stats.ts';

/** One image; the n-th of both sides were measured in the same round. */
export interface ImageRow {
  readonly title: string;
  readonly what: string;
  readonly ours: readonly DaemonCost[];
  readonly theirs: readonly Cost[];
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
  /** The page cache could be dropped. */
  readonly isCold: boolean;
  readonly versions: string;
}

/** Markdown. */
export function imagesText({ rows, ten, isCold, versions }: ImagesReport): string {
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
    ...(ten === undefined ? [] : ['', tenText(ten)]),
  ].join('\n');
}

function imageRow({ title, ours, theirs }: ImageRow): string {
  const seconds = [ours, theirs].map((costs) => costs.map((cost) => cost.seconds)) as [number[], number[]];
  const cpu = [ours, theirs].map((costs) =>
    costs.map((cost) => (cost.cpu.user + cost.cpu.system) / 1000),
  ) as [number[], number[]];
  const figures = [seconds, cpu].flatMap(([a, b]) =>
    [median(a), median(b), medianRatio(a, b)].map((value) => value.toFixed(2)),
  );
  return `| ${title} | ${ours.length} | ${figures.join(' | ')} | ${Math.max(...ours.map(({ rssMiB }) => rssMiB)).toFixed(0)} |`;
}

function tenText({ one, ten, requestsOfOne, requestsOfTen }: TenRow): string {
  return [
    '| the image of 9 gzip layers, through a proxy that counts | n | s | requests |',
    '|---|---|---|---|',
    `| one PullImage | ${one.length} | ${median(one).toFixed(2)} | ${median(requestsOfOne)} |`,
    `| ten at once | ${ten.length} | ${median(ten).toFixed(2)} | ${median(requestsOfTen)} |`,
  ].join('\n');
}
