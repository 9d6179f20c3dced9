/**
 * The program's files that are read after its start: programs of threads and of a helper, and what few nodes need. The
 * launcher opens them, and everything later goes through these descriptors: a package may put other files in their
 * place, or remove them, while this daemon serves, hands over or holds sessions for hours. Threads of another version
 * would not understand this one's messages.
 *
 * dpkg, rpm, tar and mv write another file and rename it, or unlink before they create, so a descriptor keeps the file
 * that was opened. Whoever writes into the files in place (`cp` over them, rsync --inplace) changes them here, too, as
 * every program's: a thread that starts then is of the new version, and pages of Node and of libraries change under the
 * process. docs/upgrade.md replaces directories.
 */
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { WorkerOptions } from 'node:worker_threads';
import { fail } from '../../base/fault.ts';

/** Where they lie, from the bundle's directory. */
const PLACES = {
  'kernel-worker.js': 'kernel-worker.js',
  'worker.js': 'worker.js',
  'checkpoint-reader.js': 'checkpoint-reader.js',
  'yaml.js': 'yaml.js',
  'page.json': 'page.json',
  'koffi.node': `../node_modules/@koromix/koffi-linux-${process.arch}/linux_${process.arch}/koffi.node`,
} as const;

export type ProgramFile = keyof typeof PLACES;

/** Plain data: threads and the helper get it, too. */
export interface ProgramFiles {
  /** The bundle's directory, for the names in stacks. */
  readonly directory: string;
  /** Descriptors; one is absent where the file could not be opened. */
  readonly fds: Readonly<Partial<Record<ProgramFile, number>>>;
}

/** Set by the launcher, and in threads by `bootText`; undefined when the sources run unbundled. */
declare const troupeFiles: ProgramFiles | undefined;

/** This program's files; undefined when the sources run unbundled. */
export const programFiles = (): ProgramFiles | undefined =>
  typeof troupeFiles === 'undefined' ? undefined : troupeFiles;

/** Opens them, which takes 0.05 ms in all. Each is closed at an exec, as everything that Node opens. */
export function openProgramFiles(directory: string): ProgramFiles {
  const fds: Partial<Record<ProgramFile, number>> = {};
  for (const [name, place] of Object.entries(PLACES) as readonly [ProgramFile, string][]) {
    try {
      fds[name] = openSync(join(directory, place), 'r');
    } catch {
      // whoever needs it reports that
    }
  }
  return { directory, fds };
}

/** A path that leads to the file that was opened, whatever has its name now. Throws `notFound`. */
const pathOf = (name: ProgramFile, files: ProgramFiles): string => `/proc/self/fd/${fdOf(name, files)}`;

/** The bundle's file with the page; undefined when the sources run unbundled. */
export function packedPage(): string | undefined {
  const files = programFiles();
  return files && pathOf('page.json', files);
}

/** Its descriptor. Throws `notFound`. */
export const fdOf = (name: ProgramFile, { directory, fds }: ProgramFiles): number =>
  fds[name] ??
  fail('notFound', `read ${join(directory, PLACES[name])}: could not be opened when the program was started`);

/**
 * Starts a worker thread, which reads its program itself: the file may wait for a disk.
 * @param source the program when the sources run unbundled
 */
export function startWorker(
  name: ProgramFile,
  source: URL,
  options: WorkerOptions,
  files = programFiles(),
): Worker {
  return files === undefined
    ? new Worker(source, options)
    : new Worker(bootText(name, files), { ...options, eval: true });
}

/** A script that runs one of the files; its stacks name the file. */
export function bootText(name: ProgramFile, files: ProgramFiles): string {
  const place = JSON.stringify(join(files.directory, name));
  return `{
globalThis.troupeFiles = ${JSON.stringify(files)};
const { readFileSync } = require('node:fs');
const { Script } = require('node:vm');
globalThis.require = require('node:module').createRequire(${place});
new Script(readFileSync('${pathOf(name, files)}', 'latin1'), { filename: ${place} }).runInThisContext();
}`;
}
