/** The file of a soak: a line of JSON for its options, one for each sample, one for its end. */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import type { Sample } from './sample.ts';

export interface Head {
  /** Commit and day, as docs/figures.md has them. */
  readonly made: string;
  readonly minutes: number;
  readonly pods: number;
  readonly churners: number;
  readonly cpus: number;
  /** The program that bin/troupe has chosen. */
  readonly program: string;
}

export interface End {
  readonly kills: number;
  /** Work done, by name. */
  readonly done: Readonly<Record<string, number>>;
  /** Calls that failed where a kill explains it. */
  readonly disturbed: number;
  readonly findings: readonly string[];
  readonly foundInAll: number;
  /** At rest, before and after the load. */
  readonly before: Sample;
  readonly after: Sample;
  /** What `troupe check` finds at the end; empty when it is clean. */
  readonly check: string;
  readonly leftovers: readonly string[];
  /** Load of the machine over the last 15 minutes. */
  readonly average: number;
}

export interface Recorded {
  readonly head: Head;
  readonly samples: readonly Sample[];
  /** Not there when the run was broken off. */
  readonly end?: End;
}

type Line = { readonly head: Head } | { readonly sample: Sample } | { readonly end: End };

/** Begins the file anew. */
export function recorder(path: string, head: Head): (line: Line) => void {
  const text = (line: Line): string => `${JSON.stringify(line)}\n`;
  writeFileSync(path, text({ head }));
  return (line) => appendFileSync(path, text(line));
}

export function readRecord(path: string): Recorded {
  let head: Head | undefined;
  let end: End | undefined;
  const samples: Sample[] = [];
  for (const text of readFileSync(path, 'utf8').split('\n')) {
    // the last line of a run that goes on may be half
    if (!text.endsWith('}')) continue;
    const line = JSON.parse(text) as Line;
    if ('head' in line) head = line.head;
    else if ('sample' in line) samples.push(line.sample);
    else end = line.end;
  }
  if (head === undefined) throw new Error(`${path} has no head of a soak`);
  return { head, samples, ...(end === undefined ? {} : { end }) };
}
