// The block of docs/figures.md.
import { fileSystems } from './recorder.ts';
import type { SessionResult } from './session.ts';

const seconds = (ms: number): string => (ms / 1000).toFixed(1);

function row(name: string, sessions: readonly SessionResult[]): string {
  const disks = sessions.flatMap(({ cuts }) => cuts);
  const starts = disks.map(({ readyMs }) => readyMs).sort((a, b) => a - b);
  const points = sessions.reduce((sum, { cuts }) => sum + new Set(cuts.map(({ cut }) => cut)).size, 0);
  return [
    '',
    name,
    sessions.length,
    points,
    disks.length,
    disks.reduce((sum, { answers }) => sum + answers, 0),
    disks.reduce((sum, { inFlight }) => sum + inFlight, 0),
    `${seconds(starts[Math.floor(starts.length / 2)] ?? 0)} / ${seconds(starts.at(-1) ?? 0)}`,
    disks.filter(({ losses }) => losses.length > 0).length,
    '',
  ]
    .join(' | ')
    .trim();
}

/** A row per file system. */
export function figuresOf(all: readonly SessionResult[], seed: number): string {
  return [
    `Seed ${seed}. A guest under load is killed; cuts are points of its disk's record, the kill itself among them. Of the`,
    'writes that no flush had covered each disk has a seeded part: none, all, any, torn at 512 bytes, the later',
    'without the earlier.',
    '',
    '| file system | guests killed | cuts | disks checked | answers that had to be kept | writes in flight | start, median / worst, s | disks with a loss |',
    '|---|---|---|---|---|---|---|---|',
    ...fileSystems
      .map((fs) => [fs, all.filter((one) => one.fs === fs)] as const)
      .filter(([, sessions]) => sessions.length > 0)
      .map(([fs, sessions]) => row(fs, sessions)),
  ].join('\n');
}
