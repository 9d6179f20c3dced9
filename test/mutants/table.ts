// The guards that are taken out, and the rows of the security matrix (test/rows.txt) that must have one.
import type { Mutant } from './mutant.ts';
import { ofCheckpoints } from './rows/checkpoints.ts';
import { ofDebris } from './rows/debris.ts';
import { ofDocuments } from './rows/documents.ts';
import { ofDoors } from './rows/doors.ts';
import { ofImages } from './rows/images.ts';
import { ofMachine } from './rows/machine.ts';
import { ofOlderRows } from './rows/older.ts';
import { ofNodeFiles } from './rows/node-files.ts';
import { ofPods } from './rows/pods.ts';
import { ofPieces } from './rows/pieces.ts';
import { ofPrograms } from './rows/programs.ts';
import { ofPulls } from './rows/pulls.ts';
import { ofRequests } from './rows/requests.ts';
import { ofRooms } from './rows/rooms.ts';
import { ofRuntime } from './rows/runtime.ts';
import { ofSecrets } from './rows/secrets.ts';
import { ofStreams } from './rows/streams.ts';

export const mutants: readonly Mutant[] = [
  ...ofRequests,
  ...ofDocuments,
  ...ofMachine,
  ...ofPrograms,
  ...ofImages,
  ...ofPulls,
  ...ofStreams,
  ...ofCheckpoints,
  ...ofPieces,
  ...ofPods,
  ...ofSecrets,
  ...ofDoors,
  ...ofOlderRows,
  ...ofDebris,
  ...ofNodeFiles,
  ...ofRooms,
  ...ofRuntime,
];

const numbered = (from: number, to: number): readonly string[] =>
  Array.from({ length: to - from + 1 }, (_none, at) => `S${String(from + at).padStart(2, '0')}`);

/** All rows of the security matrix, and those of others whose guard is one line. */
export const mustHave: readonly string[] = [
  ...numbered(1, 84),
  'F22',
  'F89',
  'F90',
  'F95',
  'S85',
  'S86',
  'S87',
  'S88',
  'S89',
  'S90',
  'S91',
  'S92',
  'S93',
  'S94',
  'S95',
  'S96',
  'S97',
];

/** Rows whose guard is not in this tree. */
export const notApplicable: readonly { readonly row: string; readonly reason: string }[] = [
  {
    row: 'S51',
    reason:
      'both flaws are fixed in the CNI plugins (0.8.6, 1.9.0), whose calls do not report their own version, so that no check at ' +
      'the start could be taken out; the test sees what the plugins of the machine do',
  },
];
