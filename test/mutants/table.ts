// The guards that are taken out, and the rows of the security matrix (test/rows.txt) that must have one.
import type { Mutant } from './mutant.ts';
import { ofCheckpoints } from './rows/checkpoints.ts';
import { ofDocuments } from './rows/documents.ts';
import { ofDoors } from './rows/doors.ts';
import { ofImages } from './rows/images.ts';
import { ofMachine } from './rows/machine.ts';
import { ofPods } from './rows/pods.ts';
import { ofRequests } from './rows/requests.ts';
import { ofSecrets } from './rows/secrets.ts';
import { ofStreams } from './rows/streams.ts';

export const mutants: readonly Mutant[] = [...ofRequests, ...ofDocuments, ...ofMachine, ...ofImages, ...ofStreams, ...ofCheckpoints, ...ofPods, ...ofSecrets, ...ofDoors];

const numbered = (from: number, to: number): readonly string[] =>
  Array.from({ length: to - from + 1 }, (_none, at) => `S${String(from + at).padStart(2, '0')}`);

/** Rows about pods, containers and their images; those of registries, streams and sockets may have mutants, too. */
export const mustHave: readonly string[] = [
  ...numbered(1, 15), ...numbered(18, 20), ...numbered(24, 26), ...numbered(29, 45), ...numbered(54, 57), ...numbered(62, 66), ...numbered(71, 76),
  'F90', 'S86', 'S87', 'S91', 'S92', 'S93', 'S94', 'S95',
];

/** None at present. */
export const notApplicable: readonly { readonly row: string; readonly reason: string }[] = [];
