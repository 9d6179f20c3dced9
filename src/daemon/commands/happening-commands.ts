/** The commands that show what happens on the node. */
import { ASKING, ENDS_ASKING, ENDS_WHAT, WHAT, WHAT_TEXT } from './command-parts.ts';
import type { CommandDescription } from './description.ts';

export const HAPPENING_COMMANDS = {
  ps: {
    group: 'happening',
    brief: 'pods, their containers and pulls: state, since when, what they wait on',
    text: [
      'Shows pods with their containers, and pulls, as a tree: the state of each, for how long, what it waits on and ' +
        'until when, and which cleanup is pending.',
      'With --stuck only what hangs: it waits for more than 5 s on something whose length nobody has chosen, or beyond its ' +
        'deadline, or its cleanup is pending.',
      'With --watch a terminal is drawn again every second, until Ctrl-C; elsewhere there is a block for each change ' +
        '(with JSON a line).',
    ],
    options: {
      namespace: {
        letter: 'n',
        value: 'NAME',
        completes: 'namespace',
        help: 'only pods of this namespace, and their containers',
      },
      stuck: { help: 'only what hangs' },
      sort: {
        value: 'KEY',
        choices: ['age', 'name', 'state', 'wait'],
        help: 'the oldest, the least name or state, or the longest wait first; pods keep their containers',
      },
      watch: { help: 'draw it again' },
      output: {
        letter: 'o',
        value: 'FORMAT',
        choices: ['wide', 'json', 'name'],
        help: 'age and process too, and nothing is cut; JSON; or names for why',
      },
    },
    globals: ASKING,
    needs: 'socket',
    examples: {
      everything: 'troupe ps',
      'what hangs in the namespace shop, the longest wait first': 'troupe ps -n shop --stuck --sort wait',
      'see a node work': 'troupe ps --watch',
    },
    exits: ENDS_ASKING,
    seeAlso: ['why', 'watch'],
  },
  why: {
    group: 'happening',
    brief: "a pod's or container's state, what it waits on, until when, what happened before",
    text: [
      'Shows one pod, container or pull on one screen: its state and since when; what it waits on, with process, kernel ' +
        'stack and deadline; pending cleanup; its last changes and which call caused them.',
      WHAT_TEXT,
    ],
    words: [WHAT],
    globals: ASKING,
    needs: 'socket',
    examples: {
      'a pod': 'troupe why default/web',
      'the container app of the pod web': 'troupe why web/app',
    },
    exits: ENDS_WHAT,
    seeAlso: ['ps', 'history'],
  },
  history: {
    group: 'happening',
    brief: 'the remembered changes of one pod, container or pull',
    text: [
      'Shows the last 50 changes of state, also those of what was removed in the last ten minutes: what caused each, and ' +
        'the reason of an exit or a failure.',
      WHAT_TEXT,
    ],
    words: [WHAT],
    globals: ASKING,
    needs: 'socket',
    examples: { 'a container': 'troupe history default/web/app' },
    exits: ENDS_WHAT,
    seeAlso: ['why', 'watch'],
  },
  watch: {
    group: 'happening',
    brief: 'changes as they happen, of all or of one pod, container or pull',
    text: [
      'Shows each change of state as it happens, until Ctrl-C: the name, the change, what caused it, and the reason of ' +
        'an exit or a failure. It goes on over a restart of the daemon, and says where it missed some.',
      'With a pod its containers are shown, too, and with either its later attempts.',
      WHAT_TEXT,
    ],
    words: [{ ...WHAT, isOptional: true }],
    options: {
      after: { value: 'N', help: 'resume after change N, the seq of an earlier answer, and miss nothing' },
    },
    globals: ASKING,
    needs: 'socket',
    examples: {
      'why a pod comes and goes': 'troupe watch default/web',
      'for a script, a document a line': 'troupe watch --json',
    },
    exits: ENDS_WHAT,
    seeAlso: ['ps', 'history'],
  },
} as const satisfies Readonly<Record<string, CommandDescription>>;
