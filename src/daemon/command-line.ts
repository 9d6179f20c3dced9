import { fail } from '../base/fault.ts';

export interface CommandLine {
  readonly command: 'serve' | 'start' | 'version' | 'help';
  /** `--name value` and `--name=value`, names without the dashes. */
  readonly options: Readonly<Record<string, string>>;
}

const COMMANDS = ['serve', 'start', 'version', 'help'] as const;
const OPTIONS: ReadonlySet<string> = new Set(['config', 'root', 'state', 'socket', 'log-level']);

export const USAGE = `troupe: a container runtime for Kubernetes (CRI) in which every pod is a statechart

  troupe serve [options]   serve the CRI in the foreground
  troupe start [options]   the same, and say what to type next
  troupe version           print the version

  --config FILE     default /etc/troupe/troupe.toml, drop-ins in FILE.d/*.toml
  --root DIR        default /var/lib/troupe: journal, images, what containers wrote
  --state DIR       default /run/troupe: what a reboot may delete
  --socket PATH     default /run/troupe/troupe.sock
  --log-level NAME  trace, debug, info, warn or error
`;

/** Parses the arguments after the program's name. Throws `invalidRequest` for what it does not know. */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const [first = 'help', ...rest] = argv;
  const command = first === '--help' || first === '-h' ? 'help' : COMMANDS.find((one) => one === first);
  if (command === undefined) fail('invalidRequest', `troupe ${first}: no such command; see troupe help`);
  const options: Record<string, string> = {};
  for (let at = 0; at < rest.length; at += 1) {
    const [name, inline] = splitOption(rest[at] ?? '');
    if (!OPTIONS.has(name)) fail('invalidRequest', `troupe ${command}: no such option ${rest[at] ?? ''}; see troupe help`);
    let value = inline;
    if (value === undefined) {
      at += 1;
      value = rest[at] ?? fail('invalidRequest', `troupe ${command}: --${name} needs a value`);
    }
    options[name] = value;
  }
  return { command, options };
}

function splitOption(text: string): readonly [string, string | undefined] {
  if (!text.startsWith('--')) return ['', undefined];
  const equals = text.indexOf('=');
  return equals < 0 ? [text.slice(2), undefined] : [text.slice(2, equals), text.slice(equals + 1)];
}
