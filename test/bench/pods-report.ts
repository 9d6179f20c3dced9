// The table of a thousand pods: each row beside the same with 100.
import { cpus, loadavg } from 'node:os';
import type { Memory } from './daemon-pods.ts';
import type { Lag } from './lag.ts';

/** Of one thing that the daemon does. */
export interface Cost {
  /** ms of the daemon's processor time. */
  readonly cpu: number;
  /** ms on the clock, the median where there are several. */
  readonly wall: number;
}

/** Everything that was measured with so many pods. */
export interface Crowd {
  readonly pods: number;
  /** Each of it divided by the number of pods. */
  readonly perPod: Readonly<Record<string, Cost>>;
  /** What concerns one pod only, whatever runs beside it. */
  readonly perCall: Readonly<Record<string, Cost>>;
  readonly memory: Memory;
  /** Share of one core, in percent. */
  readonly idlePercent: number;
  readonly lag: Readonly<Record<string, { readonly daemon: Lag; readonly idle: Lag }>>;
  /** Of the streams, beside the pods that were started meanwhile. */
  readonly events: string;
}

/** What is wanted (issue 17). */
const WANTED = {
  ratio: 1.2,
  pssMib: 60,
  /** For each pod above the 100. */
  pssMibEach: 0.08,
  idlePercent: (pods: number): number => (pods <= 100 ? 0.2 : 1),
  lagMs: 10,
} as const;

interface Sizes {
  readonly atOnce: number;
  readonly lives: number;
  readonly streams: number;
  readonly idleMs: number;
}

const verdict = (isMet: boolean): string => (isMet ? 'yes' : 'NO');

/** Markdown. */
export function podsText(crowds: readonly Crowd[], sizes: Sizes): string {
  const base = crowds.find(({ pods }) => pods === 100) ?? crowds[0];
  const perPod = costRows(crowds, base, ({ perPod: costs }) => costs);
  const perCall = costRows(crowds, base, ({ perCall: costs }) => costs);
  const head = (name: string): string =>
    `| ${[name, ...crowds.flatMap(({ pods }) => (pods === base?.pods ? [`${pods} pods`] : [`${pods} pods`, 'ratio']))].join(' | ')} |`;
  const rule = `|---|${'---|'.repeat(crowds.length * 2 - 1)}`;
  return [
    `Pods on the host's network with one sleeping container each, ${sizes.atOnce} at once; ${sizes.lives} more start and end beside them, once with ${sizes.streams} event streams open. Each cell: µs of the daemon's processor time, then µs on the clock; the ratio is of both to the row of ${base?.pods ?? 0} pods (wanted: at most ${WANTED.ratio}). ${cpus().length} CPUs, load average ${(loadavg()[0] ?? 0).toFixed(1)} at the end.`,
    '',
    head('for each pod'),
    rule,
    ...perPod,
    '',
    head('whole, beside so many pods'),
    rule,
    ...perCall,
    '',
    ...memoryRows(crowds, base, sizes),
    '',
    ...lagRows(crowds),
    '',
    ...crowds.map(({ pods, events }) => `- ${pods} pods: ${events}`),
  ].join('\n');
}

function costRows(
  crowds: readonly Crowd[],
  base: Crowd | undefined,
  costsOf: (crowd: Crowd) => Readonly<Record<string, Cost>>,
): string[] {
  if (base === undefined) return [];
  return Object.entries(costsOf(base)).map(([name, ofBase]) => {
    const cells = crowds.flatMap((crowd) => {
      const cost = costsOf(crowd)[name] ?? { cpu: Number.NaN, wall: Number.NaN };
      const shown = `${us(cost.cpu)}, ${us(cost.wall)}`;
      return crowd === base
        ? [shown]
        : [shown, `${ratio(cost.cpu, ofBase.cpu)}, ${ratio(cost.wall, ofBase.wall)}`];
    });
    return `| ${name} | ${cells.join(' | ')} |`;
  });
}

/** Of ms; a dash where nothing was measured. */
const us = (ms: number): string => (Number.isNaN(ms) ? '–' : (ms * 1000).toFixed(0));
const ratio = (of: number, base: number): string => (Number.isNaN(of / base) ? '–' : (of / base).toFixed(2));

function memoryRows(crowds: readonly Crowd[], base: Crowd | undefined, { idleMs }: Sizes): string[] {
  return [
    `| memory, MiB, and idle for ${idleMs / 1000} s after a restart, without metrics | RSS | PSS | anonymous | PSS for each more, MiB | met | idle, % of a core | met |`,
    '|---|---|---|---|---|---|---|---|',
    ...crowds.map(({ pods, memory: { rss, pss, anonymous }, idlePercent }) => {
      const more = pods - (base?.pods ?? 0);
      const each = more > 0 ? (pss - (base?.memory.pss ?? 0)) / more : Number.NaN;
      const isSmall = more > 0 ? each <= WANTED.pssMibEach : pss <= WANTED.pssMib;
      return `| ${[
        `${pods} pods`,
        rss.toFixed(1),
        pss.toFixed(1),
        anonymous.toFixed(1),
        Number.isNaN(each) ? '–' : each.toFixed(3),
        verdict(isSmall),
        idlePercent.toFixed(2),
        verdict(idlePercent <= WANTED.idlePercent(pods)),
      ].join(' | ')} |`;
    }),
  ];
}

function lagRows(crowds: readonly Crowd[]): string[] {
  return [
    '| event loop stands still, ms | p99.9 | longest | of an idle process: p99.9 | longest | met |',
    '|---|---|---|---|---|---|',
    ...crowds.flatMap(({ pods, lag }) =>
      Object.entries(lag).map(
        ([name, { daemon, idle }]) =>
          `| ${pods} pods: ${name} | ${daemon.p999.toFixed(1)} | ${daemon.max.toFixed(1)} | ${idle.p999.toFixed(1)} | ${idle.max.toFixed(1)} | ${verdict(daemon.p999 <= idle.p999 + WANTED.lagMs)} |`,
      ),
    ),
  ];
}
