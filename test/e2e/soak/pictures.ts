/** The pictures of a soak, by the end of their names. */
import { median } from '../../bench/stats.ts';
import type { Sample } from './sample.ts';
import { svgOf, type Line } from './picture.ts';
import type { Recorded } from './record.ts';

const MIB = 1024 * 1024;

/** Kinds of calls whose latency is drawn. */
const DRAWN: readonly string[] = [
  'runPodSandbox',
  'startContainer',
  'execSync',
  'listContainers',
  'pullImage',
];

type Of = readonly [name: string, of: (sample: Sample) => number];

interface Drawn {
  /** End of the file's name. */
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  readonly lines: readonly Of[];
  readonly isLogarithmic?: boolean;
}

const PICTURES: readonly Drawn[] = [
  {
    name: 'memory',
    title: 'Memory of the daemon',
    unit: 'MiB',
    lines: [
      ['RSS', (s) => s.rss],
      ['PSS', (s) => s.pss],
      ['anonymous', (s) => s.anonymous],
      ['JavaScript heap', (s) => s.heap],
    ],
  },
  {
    name: 'counts',
    title: 'What the daemon and its pods hold',
    unit: 'number',
    lines: [
      ['descriptors', (s) => s.descriptors],
      ['accounting files', (s) => s.accounting],
      ['threads', (s) => s.threads],
      ['actors', (s) => s.actors],
      ['mounts', (s) => s.held.mounts],
      ['leases', (s) => s.held.leases],
    ],
  },
  {
    name: 'disk',
    title: 'Journal and image store',
    unit: 'MiB',
    lines: [
      ['journal', (s) => s.journal / MIB],
      ['image store', (s) => s.imageBytes / MIB],
    ],
  },
  {
    name: 'latency',
    title: 'Latency, p50 and dashed p99',
    unit: 'ms',
    isLogarithmic: true,
    lines: [],
  },
];

/** Samples whose median stands for all of them: two minutes, since one of ten seconds has few calls of a kind. */
const SMOOTHED = 12;

/** p50 of each kind, and its p99 dashed in the same colour. */
const latencies = (samples: readonly Sample[]): readonly Line[] =>
  DRAWN.flatMap((kind) =>
    (['p50', 'p99'] as const).map((key) => ({
      name: key === 'p50' ? kind : '',
      isDashed: key === 'p99',
      points: Array.from({ length: Math.ceil(samples.length / SMOOTHED) }, (_none, index) => {
        const some = samples.slice(index * SMOOTHED, (index + 1) * SMOOTHED);
        const values = some.flatMap((sample) => sample.calls[kind]?.[key] ?? []);
        return [(some[0]?.at ?? 0) / 60, median(values)] as const;
      }),
    })),
  );

/** The SVG of each. */
export function picturesOf({ samples, head }: Recorded): ReadonlyMap<string, string> {
  const kills = samples
    .slice(1)
    .filter(({ pid }, index) => pid !== samples[index]?.pid)
    .map(({ at }) => at / 60);
  const lineOf = ([name, of]: Of): Line => ({
    name,
    points: samples.map((sample) => [sample.at / 60, of(sample)] as const),
  });
  return new Map(
    PICTURES.map(({ name, title, lines, ...more }) => [
      name,
      svgOf({
        ...more,
        title: `${title}: ${head.pods} pods that stay, ${head.made}`,
        kills,
        lines: lines.length === 0 ? latencies(samples) : lines.map(lineOf),
      }),
    ]),
  );
}
