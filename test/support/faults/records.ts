// Faults that happened in the last run of each file of tests: one file of JSON lines each, below `.run/faults`.
// The name is in the environment, so that a program that a test starts reports into the file of that test.
import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, isAbsolute, join, relative } from 'node:path';

export interface Happened {
  readonly row: string;
  readonly what: string;
  readonly times: number;
}

const VARIABLE = 'INJECTED_FAULTS_RECORD';
const EXTENSION = '.jsonl';
const checkout = join(import.meta.dirname, '../../..');

/** Where the records lie by default. */
const faultsDirectory = join(checkout, '.run/faults');

/**
 * Begins the record of a file of tests, or of a command, anew.
 * @param file absolute, or from the checkout
 */
export function beginRecord(file: string, directory = faultsDirectory): void {
  const name = isAbsolute(file) ? relative(checkout, file) : file;
  const record = join(directory, `${name}${EXTENSION}`);
  process.env[VARIABLE] = record;
  ignoringOthers(() => rmSync(record, { force: true }));
}

/** Adds to the record that was begun last; nothing where none was begun. */
export function recordHappened(one: Happened): void {
  const record = process.env[VARIABLE];
  if (record === undefined) return;
  ignoringOthers(() => {
    mkdirSync(dirname(record), { recursive: true });
    appendFileSync(record, `${JSON.stringify(one)}\n`);
  });
}

/** Takes the records of all files of tests away, so that what is read after a run is of that run. */
export function forgetTests(directory = faultsDirectory): void {
  const tests = listed(directory).filter((entry) => entry.endsWith(`.test.ts${EXTENSION}`));
  ignoringOthers(() => tests.forEach((entry) => rmSync(join(directory, entry), { force: true })));
}

/** The records of all files, by the file's path from the checkout. */
export function readRecords(directory = faultsDirectory): ReadonlyMap<string, readonly Happened[]> {
  const records = new Map<string, readonly Happened[]>();
  for (const entry of listed(directory)) {
    const lines = readFileSync(join(directory, entry), 'utf8').trim().split('\n');
    records.set(
      entry.slice(0, -EXTENSION.length),
      lines.map((line) => JSON.parse(line) as Happened),
    );
  }
  return records;
}

function listed(directory: string): readonly string[] {
  try {
    return readdirSync(directory, { recursive: true, encoding: 'utf8' })
      .filter((entry) => entry.endsWith(EXTENSION))
      .toSorted();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Records are no test: a tree that root's run has written, or a read-only one, fails none. */
function ignoringOthers(write: () => void): void {
  try {
    write();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EACCES' && code !== 'EPERM' && code !== 'EROFS') throw error;
  }
}
