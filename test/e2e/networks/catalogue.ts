// All rows of `npm run networks`, in the groups that it runs and reports.
import { collectionRow } from './collection.ts';
import { daemonNetworks } from './daemons.ts';
import { fabricatedRows, type OwnRow } from './fabricated.ts';
import { flanneldNetwork } from './flanneld.ts';
import { multusThick } from './multus-thick.ts';
import { type NetworkCase, proveNetwork } from './proof.ts';
import { newest, referenceNetworks } from './reference.ts';

export type { OwnRow };

export interface Group {
  readonly name: string;
  readonly title: string;
  readonly parts: readonly OwnRow[];
}

const rowsOf = (cases: readonly NetworkCase[]): readonly OwnRow[] =>
  cases.map((one) => ({ title: one.title, play: async () => await proveNetwork(one) }));
const isNewest = ({ title }: NetworkCase): boolean => title.includes(newest);

export const groups: readonly Group[] = [
  {
    name: 'debian',
    title: "the reference plugins in Debian's version",
    parts: rowsOf(referenceNetworks.filter((one) => !isNewest(one))),
  },
  {
    name: 'newest',
    title: 'the newest reference plugins',
    parts: rowsOf(referenceNetworks.filter(isNewest)),
  },
  {
    name: 'daemons',
    title: "troupe's own network, and networks with daemons and delegates",
    parts: rowsOf([...daemonNetworks, flanneldNetwork, multusThick]),
  },
  {
    // GC waits for ten minutes, so it comes first: the others of its group run meanwhile
    name: 'manners',
    title: 'GC and STATUS, slow and dead SDNs, shapes of results',
    parts: [collectionRow, ...fabricatedRows],
  },
];
