/** Options that stand before or after the command. The launcher needs them before the bundle is read. */
import type { GlobalOption, OptionDescription } from './description.ts';

export const GLOBAL_OPTIONS: Readonly<Record<GlobalOption, OptionDescription>> = {
  config: {
    value: 'FILE',
    completes: 'file',
    help: 'the configuration, default /etc/troupe/troupe.toml; drop-ins in FILE.d/*.toml',
  },
  root: {
    value: 'DIR',
    completes: 'directory',
    help: 'journal, images, what containers wrote; default /var/lib/troupe',
  },
  state: {
    value: 'DIR',
    completes: 'directory',
    help: 'data that a reboot may delete; default /run/troupe',
  },
  socket: { value: 'PATH', completes: 'file', help: 'the CRI socket, default /run/troupe/troupe.sock' },
  introspection: {
    value: 'PATH',
    completes: 'file',
    help: 'the socket of a running daemon, default introspection.sock in the state directory',
  },
  json: { help: 'one JSON document; watch: one per line' },
};

/** Position of the command: the first word that is neither an option nor the value of a global one. -1 for none. */
export function commandAt(argv: readonly string[]): number {
  for (let at = 0; at < argv.length; at += 1) {
    const text = argv[at] ?? '';
    if (!text.startsWith('-')) return at;
    // `--config=FILE` is one word
    if (takesValue(text.slice('--'.length))) at += 1;
  }
  return -1;
}

function takesValue(name: string): boolean {
  const known: Readonly<Record<string, OptionDescription>> = GLOBAL_OPTIONS;
  return Object.hasOwn(known, name) && known[name]?.value !== undefined;
}

/**
 * Whether the command line starts the daemon. Only the command counts, so that an error in the rest still gets the exit
 * code that a service manager expects of a daemon.
 */
export function asksForDaemon(argv: readonly string[]): boolean {
  const command = argv[commandAt(argv)];
  return command === 'serve' || command === 'start';
}
