import { fail } from '../../base/fault.ts';

export type CommandName =
  | 'serve'
  | 'start'
  | 'ps'
  | 'why'
  | 'watch'
  | 'log'
  | 'status'
  | 'config'
  | 'images'
  | 'gc'
  | 'pull'
  | 'inspect'
  | 'import'
  | 'export'
  | 'check'
  | 'wipe'
  | 'version'
  | 'help';

export interface CommandLine {
  readonly command: CommandName;
  /** `--name value` and `--name=value`, names without the dashes. */
  readonly options: Readonly<Record<string, string>>;
  /** Options without a value that were given. */
  readonly flags: ReadonlySet<string>;
  /** The other words. */
  readonly words: readonly string[];
}

interface Grammar {
  readonly options: readonly string[];
  readonly flags: readonly string[];
  /** Name of its one argument, such as `POD`; left out if it takes none. */
  readonly word?: string;
  /** Name of the second argument. */
  readonly second?: string;
}

const PLACE = ['config', 'root', 'state', 'socket'];
const DAEMON = [...PLACE, 'introspection'];

const COMMANDS: Readonly<Record<CommandName, Grammar>> = {
  serve: { options: [...PLACE, 'log-level'], flags: [] },
  start: { options: [...PLACE, 'log-level'], flags: [] },
  ps: { options: DAEMON, flags: ['json'] },
  why: { options: DAEMON, flags: ['json'], word: 'pod, container or id' },
  log: { options: DAEMON, flags: ['json'], word: 'pod, container or id' },
  watch: { options: [...DAEMON, 'after'], flags: ['json'] },
  status: { options: DAEMON, flags: ['json'] },
  config: { options: DAEMON, flags: ['json', 'default'] },
  images: { options: DAEMON, flags: ['json', 'layers'] },
  gc: { options: DAEMON, flags: ['json', 'dry-run'] },
  pull: { options: DAEMON, flags: ['json'], word: 'image reference' },
  inspect: { options: PLACE, flags: ['json'], word: 'image reference' },
  import: { options: [...DAEMON, 'name'], flags: ['json'], word: 'source' },
  export: { options: PLACE, flags: ['json'], word: 'image', second: 'target' },
  check: { options: DAEMON, flags: ['json', 'repair', 'now'] },
  wipe: { options: PLACE, flags: ['json', 'force'] },
  version: { options: [], flags: ['json'] },
  help: { options: [], flags: [] },
};

export const USAGE = `troupe: a container runtime for Kubernetes (CRI) in which every pod is a statechart

  troupe serve           serve the CRI in the foreground
  troupe start           the same, and print the next commands to try

  troupe ps              pods, their containers and pulls: state, since when, what they wait on
  troupe why WHAT        a pod's or container's state, what it waits on, until when, what happened before
  troupe log WHAT        the remembered changes of one pod, container or pull
  troupe watch           changes as they happen; --after N resumes after change N
  troupe status          the daemon itself
  troupe config          the configuration in effect; --default prints the default one with comments
  troupe images          images, and what keeps each; --layers shows the same for their layers
  troupe gc              remove images that nothing uses and that are not pinned; --dry-run only lists them
  troupe pull REF        pull an image, with a bar for each layer
  troupe inspect REF     manifest and config of an image in its registry, as JSON; pulls nothing, needs no daemon
  troupe import SOURCE   import images from a file or directory, verified like a pull; --name REF names it
  troupe export REF TO   write a pulled image to a file or directory; needs no daemon
  troupe check           compare the records with the machine; --repair removes what belongs to no record,
                         --now does not wait for work under way to finish
  troupe wipe            remove everything of a stopped daemon; --force also while pods run
  troupe version

  WHAT is an id or its beginning, a pod, a container, pod/container or namespace/pod. REF is an image reference.
  SOURCE and TO are oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF] or dir:DIR, as in skopeo;
  a SOURCE may be a path alone.

  --config FILE          default /etc/troupe/troupe.toml, drop-ins in FILE.d/*.toml
  --root DIR             default /var/lib/troupe: journal, images, what containers wrote
  --state DIR            default /run/troupe: data that a reboot may delete
  --socket PATH          default /run/troupe/troupe.sock
  --introspection PATH   default introspection.sock in the state directory
  --log-level NAME       serve and start: trace, debug, info, warn or error
  --json                 one JSON document; watch: one per line

  Exit codes: 0 success, 1 a finding or failure, 2 wrong usage, 3 no such pod, container or image, 4 no daemon answers;
  serve and start: 78 for a wrong command line or configuration.
`;

/**
 * Whether the command line starts the daemon. Only the first word counts, so that an error in the rest still gets the
 * exit code that a service manager expects of a daemon.
 */
export function asksForDaemon([first]: readonly string[]): boolean {
  return first === 'serve' || first === 'start';
}

/** Parses the arguments after the program's name. Throws `invalidRequest` for unknown or missing ones. */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const [first = 'help', ...rest] = argv;
  const command = commandOf(first, rest);
  // help is printed whatever the other arguments are
  if (command === 'help') return { command, options: {}, flags: new Set(), words: [] };
  const grammar = COMMANDS[command];
  const options: Record<string, string> = {};
  const flags = new Set<string>();
  const words: string[] = [];
  const refuse = (reason: string): never =>
    fail('invalidRequest', `troupe ${command}: ${reason}; see troupe help`);
  for (let at = 0; at < rest.length; at += 1) {
    const text = rest[at] ?? '';
    const [name, inline] = splitOption(text);
    if (!text.startsWith('-')) words.push(text);
    else if (grammar.flags.includes(name) && inline === undefined) flags.add(name);
    else if (!grammar.options.includes(name)) refuse(`no such option ${text}`);
    else if (inline !== undefined) options[name] = inline;
    else {
      at += 1;
      options[name] = rest[at] ?? refuse(`--${name} needs a value`);
    }
  }
  if (grammar.word === undefined && words.length > 0) refuse(`unexpected argument ${words[0] ?? ''}`);
  if (grammar.second !== undefined && words.length !== 2)
    refuse(`expected one ${grammar.word} and one ${grammar.second}`);
  if (grammar.word !== undefined && grammar.second === undefined && words.length !== 1)
    refuse(`expected one ${grammar.word}`);
  return { command, options, flags, words };
}

function commandOf(first: string, rest: readonly string[]): CommandName {
  const asked = [first, ...rest];
  if (asked.includes('--help') || asked.includes('-h')) return 'help';
  if (first === '--version') return 'version';
  const known = Object.keys(COMMANDS).find((name): name is CommandName => name === first);
  return known ?? fail('invalidRequest', `troupe ${first}: no such command; see troupe help`);
}

function splitOption(text: string): readonly [string, string | undefined] {
  if (!text.startsWith('--')) return ['', undefined];
  const equals = text.indexOf('=');
  return equals < 0 ? [text.slice(2), undefined] : [text.slice(2, equals), text.slice(equals + 1)];
}
