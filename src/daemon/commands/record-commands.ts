/** The commands over what the flight recorder kept. */
import { ASKING, ENDS_ASKING, ENDS_WHAT } from './command-parts.ts';
import type { CommandDescription } from './description.ts';

export const RECORD_COMMANDS = {
  trace: {
    group: 'happening',
    brief: 'where the time of a start or stop went, as a waterfall',
    text: [
      "Shows calls, the client's pauses between them, states, effects and what these waited for, of the last hour.",
      'WHAT is a pod, a container, an id, the request id of a call, or a call such as RunPodSandbox for its slowest one. ' +
        'With --slowest it is the name of a call or effect, or nothing for all.',
    ],
    words: [{ name: 'WHAT', means: 'pod, container, id or call', completes: 'what', isOptional: true }],
    options: {
      slowest: { help: 'the slowest calls and effects' },
      file: { value: 'FILE', completes: 'file', help: 'of a support bundle, in place of the daemon' },
    },
    globals: ASKING,
    needs: 'socket',
    examples: {
      'why a pod took so long': 'troupe trace default/web',
      'what is slow on this node': 'troupe trace --slowest',
    },
    exits: ENDS_WHAT,
    seeAlso: ['why', 'support-bundle'],
  },
  dump: {
    group: 'upkeep',
    brief: 'has the daemon write what it does and waits for to a file, and prints its path',
    text: [
      "The daemon's actors and what each waits on, effects with their ages, locks, calls, journal, threads with their " +
        'kernel stacks, the last errors of its log; without secrets. Also when its socket, its journal or its thread pool ' +
        'does not answer. A daemon whose event loop stands still writes none: its threads are printed then.',
      'The same as SIGUSR1 to the daemon, or with --heap SIGUSR2. The newest five of each kind are kept in the state ' +
        'directory, and the newest one is in a support bundle.',
    ],
    options: { heap: { help: 'what its memory holds, as numbers' } },
    globals: ASKING,
    needs: 'socket',
    examples: { 'what does it wait for?': 'troupe dump', 'why does it grow?': 'troupe dump --heap' },
    exits: { ...ENDS_ASKING, 1: 'the daemon wrote none' },
    seeAlso: ['ps', 'support-bundle'],
  },
  'support-bundle': {
    group: 'upkeep',
    brief: 'writes a bug report without secrets to one .tar.gz',
    text: [
      'The last hour of calls, events and effects; configuration, versions, kernel, status, ps and check. Needs no ' +
        'daemon, and says what it leaves out.',
    ],
    words: [{ name: 'FILE', means: 'file', completes: 'file', isOptional: true }],
    globals: ASKING,
    needs: 'socket',
    examples: { 'a bug report': 'troupe support-bundle' },
    exits: { 0: 'success', 1: 'the command failed', 2: 'wrong usage' },
    seeAlso: ['replay', 'trace'],
  },
  replay: {
    group: 'upkeep',
    brief: 'the page over a support bundle, with a slider for the time',
    text: ['Serves the charts as they were at any time of the recording, until Ctrl-C. Needs no daemon.'],
    words: [{ name: 'FILE', means: 'file', completes: 'file' }],
    options: { address: { value: 'ADDRESS', help: 'loopback address and port, default 127.0.0.1:0' } },
    globals: [],
    needs: 'socket',
    examples: { 'a recording': 'troupe replay troupe-support.tar.gz' },
    exits: { 0: 'success', 1: 'the command failed', 2: 'wrong usage' },
    seeAlso: ['support-bundle'],
  },
} as const satisfies Readonly<Record<string, CommandDescription>>;
