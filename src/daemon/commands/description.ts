/** The parts of a command's description, from which parser, help, manual pages and completions come. */

/**
 * What a shell offers for a value: files, directories, names of pods and containers, their namespaces, commands of
 * troupe. Left out: nothing.
 */
export type Completion = 'file' | 'directory' | 'what' | 'namespace' | 'command';

/** Fields of an option and of an argument that has a value. */
interface ValueDescription {
  /** All values, if they are few. */
  readonly choices?: readonly string[];
  readonly completes?: Completion;
}

export interface OptionDescription extends ValueDescription {
  /** Its short form, such as `n` for `-n`. */
  readonly letter?: string;
  /** The word that stands for its value, such as FILE; left out if it takes none. */
  readonly value?: string;
  /** It may be given several times (only of `exec` and `run`). */
  readonly isRepeatable?: boolean;
  /** One line. */
  readonly help: string;
}

export interface WordDescription extends ValueDescription {
  /** The word that stands for it, such as WHAT. */
  readonly name: string;
  /** What it is, for `expected one …`. */
  readonly means: string;
  readonly isOptional?: boolean;
  /** It is taken with this option only. */
  readonly onlyWith?: string;
}

/** What a command needs before it runs: the path of the daemon's socket, or a configuration that can be used. */
export type CommandNeed = 'nothing' | 'socket' | 'config';

/** Headings of `troupe help`, in their order. */
export const GROUPS = {
  daemon: 'The daemon',
  happening: 'What happens on the node',
  programs: 'Programs in containers',
  images: 'Images',
  upkeep: 'Upkeep',
  help: 'Help',
} as const;

/** Options that stand before or after the command. */
export type GlobalOption = 'config' | 'root' | 'state' | 'socket' | 'introspection' | 'json';

export interface CommandDescription {
  readonly group: keyof typeof GROUPS;
  /** One line of at most 90 characters. */
  readonly brief: string;
  /** Paragraphs. */
  readonly text: readonly string[];
  readonly words?: readonly WordDescription[];
  readonly options?: Readonly<Record<string, OptionDescription>>;
  readonly globals: readonly GlobalOption[];
  readonly needs: CommandNeed;
  /** What it is for → the command line, of which there is at least one. */
  readonly examples: Readonly<Record<string, string>>;
  /** Exit code → when. */
  readonly exits: Readonly<Record<number, string>>;
  /** Commands whose help says more. */
  readonly seeAlso?: readonly string[];
}
