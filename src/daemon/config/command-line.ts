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
  /** The words that are no options. */
  readonly words: readonly string[];
}

interface Grammar {
  readonly options: readonly string[];
  readonly flags: readonly string[];
  /** Name of its one word, such as `POD`; none when left out. */
  readonly word?: string;
  /** Name of the one behind it. */
  readonly second?: string;
}

const PLACE = ['config', 'root', 'state', 'socket'];
const LOOK = [...PLACE, 'introspection'];

const COMMANDS: Readonly<Record<CommandName, Grammar>> = {
  serve: { options: [...PLACE, 'log-level'], flags: [] },
  start: { options: [...PLACE, 'log-level'], flags: [] },
  ps: { options: LOOK, flags: ['json'] },
  why: { options: LOOK, flags: ['json'], word: 'pod, container or id' },
  log: { options: LOOK, flags: ['json'], word: 'pod, container or id' },
  watch: { options: [...LOOK, 'after'], flags: ['json'] },
  status: { options: LOOK, flags: ['json'] },
  config: { options: LOOK, flags: ['json', 'default'] },
  images: { options: LOOK, flags: ['json', 'layers'] },
  gc: { options: LOOK, flags: ['json', 'dry-run'] },
  pull: { options: LOOK, flags: ['json'], word: 'image reference' },
  inspect: { options: PLACE, flags: ['json'], word: 'image reference' },
  import: { options: [...LOOK, 'name'], flags: ['json'], word: 'source' },
  export: { options: PLACE, flags: ['json'], word: 'image', second: 'target' },
  check: { options: LOOK, flags: ['json', 'repair', 'now'] },
  wipe: { options: PLACE, flags: ['json', 'force'] },
  version: { options: [], flags: ['json'] },
  help: { options: [], flags: [] },
};

export const USAGE = `troupe: a container runtime for Kubernetes (CRI) in which every pod is a statechart

  troupe serve           serve the CRI in the foreground
  troupe start           the same, and say what to type next

  troupe ps              pods, their containers and pulls: state, since when, what they wait on
  troupe why WHAT        where a pod or container is, on what it waits, until when, what happened before
  troupe log WHAT        every change of one pod, container or pull that is remembered
  troupe watch           changes as they happen; --after N resumes behind change N
  troupe status          the daemon itself
  troupe config          the configuration in effect; --default prints the default one with comments
  troupe images          images, and what keeps each; --layers tells the same of their layers
  troupe gc              remove images that nothing uses and that are not pinned; --dry-run only says which
  troupe pull REF        pull an image, with a bar for each layer
  troupe inspect REF     manifest and config of an image in its registry, as JSON; pulls nothing, needs no daemon
  troupe import SOURCE   take images from a file or directory, verified as a pull is; --name REF says what one is called
  troupe export REF TO   write an image that is here to a file or directory; needs no daemon
  troupe check           compare the records with the machine; --repair removes what belongs to no record,
                         --now does not wait for what may still be under way
  troupe wipe            remove everything of a daemon that does not run; --force also while pods run
  troupe version

  WHAT is an id or its beginning, a pod, a container, pod/container or namespace/pod. REF is an image reference.
  SOURCE and TO are oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF] or dir:DIR, as skopeo has them;
  a SOURCE may be a path alone.

  --config FILE          default /etc/troupe/troupe.toml, drop-ins in FILE.d/*.toml
  --root DIR             default /var/lib/troupe: journal, images, what containers wrote
  --state DIR            default /run/troupe: what a reboot may delete
  --socket PATH          default /run/troupe/troupe.sock
  --introspection PATH   default introspection.sock in the state directory
  --log-level NAME       serve and start: trace, debug, info, warn or error
  --json                 one JSON document; watch: one a line

  Exit codes: 0 well, 1 a finding or a failure, 2 wrong usage, 3 no such pod, container or image, 4 no daemon answers;
  serve and start: 78 for a command line or configuration that is wrong.
`;

/**
 * Whether the daemon is asked for, by its first word alone: also where the rest is not understood, since a service
 * manager reads the exit code of that.
 */
export function asksForDaemon([first]: readonly string[]): boolean {
  return first === 'serve' || first === 'start';
}

/** Parses the arguments after the program's name. Throws `invalidRequest` for what it does not know. */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const [first = 'help', ...rest] = argv;
  const command = commandOf(first, rest);
  // whatever else is said: who asks for help gets it
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
  if (grammar.word === undefined && words.length > 0) refuse(`what is ${words[0] ?? ''}`);
  if (grammar.second !== undefined && words.length !== 2)
    refuse(`one ${grammar.word} and one ${grammar.second} are wanted`);
  if (grammar.word !== undefined && grammar.second === undefined && words.length !== 1)
    refuse(`one ${grammar.word} is wanted`);
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
