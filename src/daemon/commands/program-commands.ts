/** The commands that run programs in containers, and show what these wrote. */
import { ENDS_WHAT, PLACE, WHAT, WHAT_TEXT } from './command-parts.ts';
import type { CommandDescription, GlobalOption } from './description.ts';

/** Without `json`: what the program writes is the answer. */
const PROGRAM: readonly GlobalOption[] = [...PLACE, 'introspection'];
const STDIN = { letter: 'i', help: 'passes the input' };
const TTY = { letter: 't', help: 'gives the program a terminal' };
const ENDS_PROGRAM = {
  0: "the program's success; its other codes are passed on",
  125: 'wrong usage, or troupe, the daemon or the call failed',
  126: "the program can't be executed",
  127: 'no such program',
};

export const PROGRAM_COMMANDS = {
  run: {
    group: 'programs',
    brief: 'runs an image in a pod of its own, which is removed at the end',
    text: [
      'Pulls the image if it is missing, runs it in a pod with one container, shows its output and removes the pod, also ' +
        "after Ctrl-C. CMD replaces the image's arguments, not its entrypoint. The container has the default seccomp " +
        'profile and no privileges.',
    ],
    words: [
      { name: 'IMAGE', means: 'image' },
      { name: 'CMD...', means: 'command', isOptional: true },
    ],
    options: {
      stdin: STDIN,
      tty: TTY,
      network: {
        value: 'KIND',
        choices: ['pod', 'host'],
        help: 'a network of its own (default), or the node’s',
      },
      env: { letter: 'e', value: 'NAME=VALUE', isRepeatable: true, help: 'a variable; repeatable' },
      volume: {
        letter: 'v',
        value: 'VOLUME',
        isRepeatable: true,
        completes: 'directory',
        help: 'HOST:CONTAINER[:ro], a volume by absolute paths; repeatable',
      },
      name: { value: 'NAME', help: "the pod's name; default: the image's and six digits" },
      rm: { help: 'removes the pod at the end, as without it' },
      keep: { help: 'the pod stays after the end; troupe rm NAME removes it' },
      detach: { letter: 'd', help: 'does not wait for the end; the pod stays' },
    },
    globals: PROGRAM,
    needs: 'socket',
    examples: {
      'say hello': 'troupe run docker.io/library/busybox echo hello',
      'a shell': 'troupe run -it docker.io/library/busybox sh',
    },
    exits: ENDS_PROGRAM,
    seeAlso: ['exec', 'logs', 'rm'],
  },
  exec: {
    group: 'programs',
    brief: 'runs a program in a running container',
    text: [
      'Runs a program in a container, or in the only container of a pod. With a terminal Ctrl-C goes to the program; ' +
        'without one it ends it.',
      WHAT_TEXT,
    ],
    words: [WHAT, { name: 'CMD...', means: 'command' }],
    options: { stdin: STDIN, tty: TTY },
    globals: PROGRAM,
    needs: 'socket',
    examples: { 'a shell in a pod': 'troupe exec -it default/web -- sh' },
    exits: ENDS_PROGRAM,
    seeAlso: ['run', 'logs'],
  },
  logs: {
    group: 'programs',
    brief: 'what a container wrote, from its log file',
    text: [
      "Reads the container's log file; stdout and stderr go where they came from, and parts of one line are joined.",
      WHAT_TEXT,
    ],
    words: [WHAT],
    options: {
      follow: { letter: 'f', help: 'goes on until the container has ended, or Ctrl-C' },
      tail: { value: 'N', help: 'only the last N lines' },
      since: { value: 'TIME', help: 'only what is newer: 2026-01-31T12:00:00Z, or 1h30m' },
      timestamps: { help: 'with the time of each line' },
      previous: { help: 'of the attempt before' },
    },
    globals: PROGRAM,
    needs: 'socket',
    examples: { 'the last lines, and what comes': 'troupe logs --follow --tail 20 default/web' },
    exits: ENDS_WHAT,
    seeAlso: ['exec', 'why'],
  },
  rm: {
    group: 'programs',
    brief: 'stops and removes a pod of troupe run',
    text: [WHAT_TEXT],
    words: [{ name: 'POD', means: 'pod', completes: 'what' }],
    options: { force: { help: 'also a pod that troupe run has not made' } },
    globals: PROGRAM,
    needs: 'socket',
    examples: { 'a pod that was kept': 'troupe rm try' },
    exits: ENDS_WHAT,
    seeAlso: ['run'],
  },
} as const satisfies Readonly<Record<string, CommandDescription>>;
