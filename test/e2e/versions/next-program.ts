// The program of the next journal version, and the working tree's own, each bundled in a directory of its own. No
// release has raised the version yet, so this stands in for the one that will: the sources with the changes below,
// which are in no file of `src`. It writes one type of record under another name, so that it has something to migrate,
// and a program of today could not read the records either.
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Plugin } from 'esbuild';
import { bundleInto } from '../../../scripts/support/bundle-daemon.ts';
import { onlyPlaceChanged } from '../../../scripts/support/only-place.ts';
import { storedVersions } from '../../../src/base/stored-versions.ts';
import { checkout } from '../../support/tools/cache.ts';

export const NEXT_JOURNAL = storedVersions.journal + 1;
export const NEXT_VERSION = '99.0.0';

/** The record that the next version renames. Each running container has one. */
export const FORMER_TYPE = 'container.started';
export const NEXT_TYPE = 'container.running';

/**
 * Where the next program kills itself if its mark is there: with the lock and nothing written; with the migrated
 * journal and nothing served; as soon as it serves.
 */
export type Death = 'locked' | 'migrated' | 'serving';

type Change = readonly [from: string, to: string];

/** A process that has found its file dies once, so that the next start of the same program goes on. */
const diesAt = (death: Death): string => `
  {
    const { existsSync: isThere, unlinkSync: unlink } = process.getBuiltinModule('node:fs');
    const mark = (process.argv[1] ?? '').replace(/[^/]*$/u, '${death}');
    if (isThere(mark)) {
      unlink(mark);
      process.kill(process.pid, 'SIGKILL');
    }
  }
`;

const CHANGES: ReadonlyMap<string, readonly Change[]> = new Map([
  [
    'src/base/stored-versions.ts',
    [[`  journal: ${storedVersions.journal},\n`, `  journal: ${NEXT_JOURNAL},\n`]],
  ],
  [
    'src/journal/format.ts',
    [
      [
        'encodePlain(record)',
        `encodePlain(record.type === '${FORMER_TYPE}' ? { ...record, type: '${NEXT_TYPE}' } : record)`,
      ],
      ['    if (!isRecordType(record.type)) {', '    if (!isRecordType(asNow(record, format).type)) {'],
      ['    records.push(record);', '    records.push(asNow(record, format));'],
      [
        '/** The type as a message may have it',
        `function asNow(record: JournalRecord, format: number): JournalRecord {
          if (format < FORMAT) return record;
          // a record of the older format in a journal of this one
          if (record.type === '${FORMER_TYPE}') return { ...record, type: 'written by an older program' } as never;
          return (record.type as string) === '${NEXT_TYPE}' ? { ...record, type: '${FORMER_TYPE}' } as never : record;
        }
        /** The type as a message may have it`,
      ],
    ],
  ],
  [
    'src/journal/journal.ts',
    [
      ['  await files.begin(good,', `${diesAt('locked')}  await files.begin(good,`],
      ['  const keptAs = damaged && newest', `${diesAt('migrated')}  const keptAs = damaged && newest`],
    ],
  ],
  [
    'src/daemon/wiring/wire.ts',
    [
      [
        '  await becomeMain(inherited, listening, life);\n',
        `  await becomeMain(inherited, listening, life);\n${diesAt('serving')}`,
      ],
    ],
  ],
]);

const nextVersion: Plugin = {
  name: 'the next journal version',
  setup: (build) => {
    build.onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const file = relative(checkout, path);
      const changes = CHANGES.get(file);
      if (changes === undefined) return undefined;
      const text = readFileSync(path, 'utf8');
      return {
        loader: 'ts',
        contents: changes.reduce((sofar, change) => onlyPlaceChanged(sofar, change, file), text),
      };
    });
  },
};

/** Builds the program in a directory, as a package would put it there. */
export async function buildProgram(directory: string, which: 'today' | 'next'): Promise<void> {
  mkdirSync(directory);
  cpSync(join(checkout, 'bin'), join(directory, 'bin'), { recursive: true });
  symlinkSync(join(checkout, 'node_modules'), join(directory, 'node_modules'));
  await bundleInto(join(directory, 'dist'), {
    isShipped: true,
    ...(which === 'next' ? { version: NEXT_VERSION, plugins: [nextVersion] } : {}),
  });
}

/** The next program's process that comes to this point first dies there. */
export function markDeath(directory: string, death: Death): void {
  writeFileSync(join(directory, 'dist', death), '');
}

/** Whether one has. */
export const hasDied = (directory: string, death: Death): boolean =>
  !existsSync(join(directory, 'dist', death));
