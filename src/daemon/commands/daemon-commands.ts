/** The commands about the daemon itself. */
import { PLACE, ASKING, ENDS_ASKING, ENDS_DAEMON, LOG_LEVEL } from './command-parts.ts';
import type { CommandDescription } from './description.ts';

export const DAEMON_COMMANDS = {
  serve: {
    group: 'daemon',
    brief: 'serve the CRI in the foreground',
    text: [
      'Serves the CRI until SIGTERM or SIGINT. Calls under way get 10 s then; containers go on, and the next start takes ' +
        'them up. SIGHUP reads the configuration again.',
    ],
    options: {
      'log-level': LOG_LEVEL,
      'take-over': { help: 'replace the daemon that runs on the same directories; no call fails' },
    },
    globals: PLACE,
    needs: 'config',
    examples: {
      'with a configuration of its own': 'troupe serve --config /etc/troupe/other.toml',
      'every call and every change in the log': 'troupe serve --log-level debug',
    },
    exits: ENDS_DAEMON,
    seeAlso: ['start', 'status', 'config', 'upgrade'],
  },
  upgrade: {
    group: 'daemon',
    brief: 'replace the running daemon by this program',
    text: [
      "Asks the running daemon to start this program, or PROGRAM, with the daemon's " +
        'options and --take-over. No call fails; sessions of clients go on in the former daemon to their end. Prints each ' +
        'step. Where the program does not take over, the daemon that runs goes on.',
    ],
    options: { program: { value: 'PROGRAM', completes: 'file', help: 'path of another bin/troupe' } },
    globals: PLACE,
    needs: 'config',
    examples: { 'after another version was installed': 'troupe upgrade' },
    exits: { ...ENDS_ASKING, 6: 'not replaced: the daemon that runs goes on' },
    seeAlso: ['reload', 'serve', 'status'],
  },
  reload: {
    group: 'daemon',
    brief: 'use the installed program and the configuration, as systemctl reload does',
    text: [
      'Where the daemon runs another program than this one, since another was installed, this one takes over, as with ' +
        'upgrade, and reads the configuration. Otherwise the daemon reads its configuration again, as by SIGHUP.',
    ],
    globals: ASKING,
    needs: 'socket',
    examples: { 'after an edit of the configuration': 'troupe config --check && troupe reload' },
    exits: { ...ENDS_ASKING, 6: 'not replaced: the daemon that runs goes on' },
    seeAlso: ['config', 'upgrade'],
  },
  start: {
    group: 'daemon',
    brief: 'serve as well, with a network for a first try, and print the next commands to type',
    text: [
      'For a first try without a cluster: as serve, and pods get a bridge network of the node if it has no CNI ' +
        'configuration.',
    ],
    options: { 'log-level': LOG_LEVEL },
    globals: PLACE,
    needs: 'config',
    examples: { 'below a directory of its own': 'troupe start --root /tmp/troupe --state /run/troupe-try' },
    exits: ENDS_DAEMON,
    seeAlso: ['serve'],
  },
  status: {
    group: 'daemon',
    brief: 'the daemon itself: is it ready, and if not, why',
    text: [
      'Shows version and memory of the running daemon; whether runtime and network are ready, and what it works ' +
        'without; the network that pods join and its file; handlers with their versions and known flaws; the files of ' +
        'its configuration; its disks; where its page is.',
    ],
    globals: ASKING,
    needs: 'socket',
    examples: { 'the log, unless all is well': 'troupe status || journalctl -u troupe' },
    exits: { ...ENDS_ASKING, 1: 'runtime or network are not ready' },
    seeAlso: ['config', 'check'],
  },
  config: {
    group: 'daemon',
    brief: 'the configuration in effect; with --check all errors of the files',
    text: [
      'Prints the configuration of the running daemon as TOML. Without a daemon, or with --config, --root or --socket, ' +
        'it is the one for a start.',
    ],
    words: [{ name: 'FILE', means: 'file', completes: 'file', isOptional: true, onlyWith: 'check' }],
    options: {
      default: { help: 'the default configuration with its comments' },
      check: { help: 'all errors of the files, or of FILE and its drop-ins; needs no daemon' },
    },
    globals: ASKING,
    needs: 'socket',
    examples: {
      'before a reload': 'troupe config --check && systemctl reload troupe',
      'a file to begin with': 'troupe config --default > /etc/troupe/troupe.toml',
    },
    exits: { ...ENDS_ASKING, 78: '--check found an error' },
    seeAlso: ['serve'],
  },
  version: {
    group: 'daemon',
    brief: 'the version of this program',
    text: ['Prints the version of this program and of its Node. That of the daemon is in troupe status.'],
    globals: ['json'],
    needs: 'nothing',
    examples: { 'for a script': 'troupe version --json' },
    exits: { 0: 'success', 2: 'wrong usage' },
    seeAlso: ['status'],
  },
} as const satisfies Readonly<Record<string, CommandDescription>>;
