/**
 * The same command in several processes, each with its part of the work. What a part does depends on the seeds and
 * points in it alone, so that the outcome is the same for every number of processes.
 */
import { fork } from 'node:child_process';

/** Takes each item whose number modulo `of` is `at`. */
export interface Part {
  readonly at: number;
  readonly of: number;
}

export const WHOLE: Part = { at: 0, of: 1 };

/** `at/of`, as `--part` has it; undefined for anything else. */
export function parsePart(text: string): Part | undefined {
  const [at = NaN, of = NaN] = text.split('/').map(Number);
  return Number.isInteger(at) && Number.isInteger(of) && at >= 0 && at < of ? { at, of } : undefined;
}

/** Runs `main` with `args` and `--part` in so many processes. The results, in order of the parts. */
export function inParts(main: string, args: readonly string[], jobs: number): Promise<unknown[]> {
  return Promise.all(Array.from({ length: jobs }, (_none, at) => part(main, args, { at, of: jobs })));
}

function part(main: string, args: readonly string[], { at, of }: Part): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let result: unknown;
    const child = fork(main, [...args, '--part', `${at}/${of}`], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    child.on('message', (message) => (result = message));
    child.on('error', reject);
    child.on('exit', (code) =>
      result === undefined
        ? reject(new Error(`part ${at} of ${of}: exit code ${code ?? 'none'} and no result`))
        : resolve(result),
    );
  });
}

/** In a part: what it found, for the process that began it. */
export function report(result: unknown): void {
  process.send?.(result);
}
