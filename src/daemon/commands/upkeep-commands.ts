/** The commands that clean up. */
import { PLACE_JSON, ASKING, ENDS, ENDS_ASKING } from './command-parts.ts';
import type { CommandDescription } from './description.ts';

export const UPKEEP_COMMANDS = {
  check: {
    group: 'upkeep',
    brief: 'compare the records with the machine',
    text: [
      "Reads the journal, processes, mounts, cgroups, CNI's files and rules, and reports where they disagree. With the " +
        'daemon running a finding must persist for 12 s.',
    ],
    options: {
      repair: { help: 'remove what belongs to no record' },
      now: { help: 'do not wait for work under way to finish' },
    },
    globals: ASKING,
    needs: 'config',
    examples: {
      'is anything left over?': 'troupe check',
      'remove it': 'troupe check --repair',
    },
    exits: { ...ENDS_ASKING, 1: 'a finding, or a failure', 4: 'a daemon runs, and does not answer' },
    seeAlso: ['wipe', 'status'],
  },
  wipe: {
    group: 'upkeep',
    brief: 'remove everything of a stopped daemon',
    text: ['Removes all pods, containers, images and records of a stopped daemon from the node.'],
    options: { force: { help: 'also while pods run' } },
    globals: PLACE_JSON,
    needs: 'config',
    examples: { 'before troupe is uninstalled': 'systemctl stop troupe && troupe wipe' },
    exits: ENDS,
    seeAlso: ['check'],
  },
} as const satisfies Readonly<Record<string, CommandDescription>>;
