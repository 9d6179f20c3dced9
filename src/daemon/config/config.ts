/** Reads the configuration: defaults, the file, its drop-ins in the order of their names, then the command line. */
import { isUtf8 } from 'node:buffer';
import { constants, fstatSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import { toFault } from '../../base/fault.ts';
import { configLimits } from '../bounds.ts';
import { SecretUrl } from '../../base/secret-url.ts';
import { codeOf, isAbsent } from '../../host/ffi/errno.ts';
import { namesOf } from '../../host/files/names-of.ts';
import { lineOfKey } from '../../oci/images/registry/toml-lines.ts';
import { valueRefusal, valueProblems } from './check-values.ts';
import { COMMAND_LINE, ConfigError, problemsByFile } from './config-problem.ts';
import type { ConfigProblem } from './config-problem.ts';
import { socketRefusal } from './sections/config-rule.ts';
import type { Rule } from './sections/config-rule.ts';
import { DEFAULT_SLICE, defaultConfig, LEVEL_RULE, schema } from './config-schema.ts';
import type { Config } from './config-schema.ts';
import { isTable, merge, valueAt, withValueAt } from './tables.ts';
import type { ConfigTable } from './tables.ts';
import { clashesOf } from './together.ts';
import type { Clash } from './together.ts';

export interface Overrides {
  readonly root?: string;
  readonly state?: string;
  readonly socket?: string;
  readonly logLevel?: string;
}

/** A configuration, and the errors in its drop-ins: path → `line 3: …`. */
export interface ReadConfig {
  readonly config: Config;
  readonly problems: ReadonlyMap<string, string>;
  /** The files that were read, in the order in which they count. */
  readonly files: readonly string[];
}

/** What could be used of all files, and every error in them. */
export interface ConfigSurvey {
  readonly config: Config;
  /** Errors of the main file and of the command line, which end a start. */
  readonly own: readonly ConfigProblem[];
  /** Errors of the drop-ins, whose valid keys take effect. */
  readonly dropIns: readonly ConfigProblem[];
  /** The files that were read, in the order in which they count. */
  readonly files: readonly string[];
}

/** A file without the keys that can't be used. */
interface Source {
  readonly file: string;
  readonly text: string;
  readonly isRead: boolean;
  readonly table: ConfigTable;
  readonly problems: readonly ConfigProblem[];
}

/**
 * The configuration from `file` and `<file>.d/*.toml`; a missing file is the default one unless `isRequired`.
 * Throws `invalidRequest` with every error in any of them.
 */
export async function loadConfig(
  file: string,
  isRequired: boolean,
  overrides: Overrides,
  defaults: Config = defaultConfig,
): Promise<Pick<ReadConfig, 'config' | 'files'>> {
  const { config, own, dropIns, files } = await surveyConfig(file, isRequired, overrides, defaults);
  if (own.length + dropIns.length > 0) throw new ConfigError([...own, ...dropIns]);
  return { config, files };
}

/**
 * The same, but the valid keys of a bad drop-in take effect (F95): installers write drop-ins, and one bad key must not
 * stop the node. Errors in `file` itself are refused with `invalidRequest`, file and line; the message then has those
 * of the drop-ins, too.
 */
export async function readConfig(
  file: string,
  isRequired: boolean,
  overrides: Overrides,
  defaults: Config = defaultConfig,
): Promise<ReadConfig> {
  const { config, own, dropIns, files } = await surveyConfig(file, isRequired, overrides, defaults);
  if (own.length > 0) throw new ConfigError([...own, ...dropIns]);
  return { config, problems: problemsByFile(dropIns), files };
}

/** Reads all files and keeps what can be used of each. Never rejects for what they hold. */
export async function surveyConfig(
  file: string,
  isRequired: boolean,
  overrides: Overrides,
  defaults: Config = defaultConfig,
): Promise<ConfigSurvey> {
  const main = (await readSource(file)) ?? missing(file, isRequired);
  const directory = `${file}.d`;
  const unlisted: ConfigProblem[] = [];
  const names = await namesOf(directory).catch((thrown: unknown) => {
    unlisted.push({ file: directory, line: undefined, key: '', reason: toFault(thrown).message });
    return [];
  });
  const paths = names
    .filter((name) => name.endsWith('.toml'))
    .toSorted()
    .map((name) => join(directory, name));
  const others: Source[] = [];
  for (const path of paths) others.push((await readSource(path)) ?? missing(path, true));
  const together = settled(defaults, main, others);
  const overridden = withOverrides(withDefaultParent(together.config), overrides);
  const placed = withShortState(overridden.config, overrides, defaults, [main, ...others]);
  return {
    config: placed.config,
    own: [...main.problems, ...together.own, ...overridden.problems, ...placed.own],
    dropIns: [
      ...unlisted,
      ...others.flatMap(({ problems }) => problems),
      ...together.dropIns,
      ...placed.dropIns,
    ],
    files: [main, ...others].filter(({ isRead }) => isRead).map(({ file: path }) => path),
  };
}

/** The configuration with one file applied; pure. Throws `invalidRequest` with every error, file and line. */
export function applyFile(config: Config, text: string, file: string): Config {
  const { table, problems } = sourceOf(text, file);
  if (problems.length > 0) throw new ConfigError(problems);
  return over(config, table);
}

/** The merged files, without what contradicts itself. */
function settled(
  defaults: Config,
  main: Source,
  others: readonly Source[],
): Pick<ConfigSurvey, 'config' | 'own' | 'dropIns'> {
  const own = over(defaults, main.table);
  const merged = others.reduce((config, { table }) => over(config, table), own);
  const ownClashes = clashesOf(own);
  const found = clashesOf(merged);
  const isIn = (clashes: readonly Clash[], { at }: Clash): boolean =>
    clashes.some((clash) => clash.at.join('.') === at.join('.'));
  // the main file may have a clash of its own in a key that a drop-in sets to another wrong value
  const isOfOthers = (clash: Clash): boolean =>
    !isIn(ownClashes, clash) || others.some(({ table }) => valueAt(table, clash.at) !== undefined);
  return {
    config: withoutClashes(merged, withoutClashes(own, defaults)),
    // a contradiction of the main file that a drop-in has removed does not count
    own: ownClashes.filter((clash) => isIn(found, clash)).map((clash) => located(clash, [main])),
    dropIns: found.filter(isOfOthers).map((clash) => located(clash, [main, ...others])),
  };
}

/** With the values of a configuration that has no clash where this one has some. */
function withoutClashes(config: Config, base: Config): Config {
  const reset = (from: Config, path: readonly string[]): Config =>
    withValueAt(from as never, path, valueAt(base as never, path)) as never;
  const first = clashesOf(config).reduce((from, { whole }) => reset(from, whole), config);
  // no rule spans two sections
  return clashesOf(first).reduce((from, { at }) => reset(from, at.slice(0, 1)), first);
}

/** A clash at the last file that sets the reported key. */
function located({ at, reason }: Clash, sources: readonly Source[]): ConfigProblem {
  const key = at.join('.');
  const source = sources.findLast(({ table }) => valueAt(table, at) !== undefined);
  if (source === undefined) return { file: sources[0]?.file ?? '', line: undefined, key, reason };
  return { file: source.file, line: lineOfKey(source.text, at), key, reason };
}

/** The configuration with a checked table applied. */
function over(config: Config, table: ConfigTable): Config {
  return merge(config as never, withSecrets(table, schema)) as never;
}

function drop(table: ConfigTable, [first = '', ...others]: readonly string[]): void {
  const inner = table[first];
  if (others.length === 0) delete table[first];
  else if (isTable(inner)) drop(inner, others);
}

/** The file with its errors; undefined when it does not exist. */
async function readSource(file: string): Promise<Source | undefined> {
  try {
    const text = await readText(file);
    return text === undefined ? undefined : sourceOf(text, file);
  } catch (thrown) {
    if (!(thrown instanceof ConfigError)) throw thrown;
    return { file, text: '', isRead: false, table: {}, problems: thrown.problems };
  }
}

function missing(file: string, isRequired: boolean): Source {
  const problem = { file, line: undefined, key: '', reason: 'not found' };
  return { file, text: '', isRead: false, table: {}, problems: isRequired ? [problem] : [] };
}

/** Pure. */
function sourceOf(text: string, file: string): Source {
  let table: ConfigTable;
  try {
    table = parse(text);
  } catch (thrown) {
    if (!(thrown instanceof TomlError)) throw thrown;
    const reason = thrown.message.split('\n', 1)[0] ?? '';
    return { file, text, isRead: true, table: {}, problems: [{ file, line: thrown.line, key: '', reason }] };
  }
  const found = valueProblems(table);
  // each scans the text
  const located = found
    .slice(0, configLimits.problems)
    .map(({ at, reason }) => ({ file, line: lineOfKey(text, at), key: at.join('.'), reason }))
    .toSorted((a, b) => a.line - b.line);
  const more = found.length - located.length;
  const rest = more === 0 ? [] : [{ file, line: undefined, key: '', reason: `${more} more errors` }];
  for (const { whole } of found) drop(table, whole);
  return { file, text, isRead: true, table, problems: [...located, ...rest] };
}

/** Turns values that may hold a password into a type that can't be shown (S92). */
function withSecrets(table: ConfigTable, rules: Readonly<Record<string, Rule>>): ConfigTable {
  const typed = Object.entries(table).map(([key, value]) => {
    const rule = rules[key];
    if (rule?.is === 'secretUrl' && typeof value === 'string' && value !== '')
      return [key, new SecretUrl(value)];
    return [key, rule?.is === 'table' && isTable(value) ? withSecrets(value, rule.keys) : value];
  });
  return Object.fromEntries(typed) as ConfigTable;
}

/** The default parent has the driver's form. */
function withDefaultParent(config: Config): Config {
  const { driver, parent } = config.cgroup;
  if (parent !== '' && parent !== defaultConfig.cgroup.parent) return config;
  const ours = driver === 'systemd' ? DEFAULT_SLICE : defaultConfig.cgroup.parent;
  return { ...config, cgroup: { driver, parent: ours } };
}

/** The options of the command line that can be used, and what is wrong with the others. */
function withOverrides(
  config: Config,
  { logLevel, ...paths }: Overrides,
): { readonly config: Config; readonly problems: readonly ConfigProblem[] } {
  const refusalOf = (name: string, path: string): string | undefined =>
    valueRefusal(path, name === 'socket' ? { is: 'judged', judge: socketRefusal } : { is: 'path' });
  const refused = Object.entries(paths).flatMap(([name, path]): (readonly [string, string])[] => {
    const reason = path === undefined ? undefined : refusalOf(name, path);
    return reason === undefined ? [] : [[name, `${path}: ${reason}`]];
  });
  const levelRefusal = logLevel === undefined ? undefined : valueRefusal(logLevel, LEVEL_RULE);
  if (levelRefusal !== undefined) refused.push(['log-level', `${logLevel}: ${levelRefusal}`]);
  const names = new Set(refused.map(([name]) => name));
  const usable = Object.fromEntries(Object.entries(paths).filter(([name]) => !names.has(name)));
  const level = levelRefusal === undefined ? (logLevel ?? config.log.level) : config.log.level;
  return {
    config: { ...config, ...usable, log: { ...config.log, level } },
    problems: refused.map(([name, reason]) => ({
      file: COMMAND_LINE,
      line: undefined,
      key: `--${name}`,
      reason,
    })),
  };
}

/**
 * With a state directory whose path leaves room for that of the introspection socket, unless the socket is elsewhere. A
 * path that a drop-in sets in vain is ignored, as any other value of a drop-in.
 */
function withShortState(
  config: Config,
  overrides: Overrides,
  defaults: Config,
  sources: readonly [Source, ...Source[]],
): Pick<ConfigSurvey, 'config' | 'own' | 'dropIns'> {
  const refusal = config.introspection.socket === '' ? socketRefusal(introspectionSocket(config)) : undefined;
  if (refusal === undefined) return { config, own: [], dropIns: [] };
  const reason = `${introspectionSocket(config)} ${refusal}, unless introspection.socket is set`;
  if (config.state === overrides.state)
    return {
      config,
      own: [{ file: COMMAND_LINE, line: undefined, key: '--state', reason }],
      dropIns: [],
    };
  const [main] = sources;
  const problem = located({ at: ['state'], whole: ['state'], reason }, sources);
  if (problem.file === main.file) return { config, own: [problem], dropIns: [] };
  const { state } = over(defaults, main.table);
  const { dropIns, ...without } = withShortState({ ...config, state }, overrides, defaults, [main]);
  return { ...without, dropIns: [problem, ...dropIns] };
}

/**
 * The text of a regular file; undefined when it does not exist. Anything else in its place must neither block a reload
 * nor fill the memory (F32).
 */
async function readText(file: string): Promise<string | undefined> {
  const refuse = (reason: string): never => {
    throw new ConfigError([{ file, line: undefined, key: '', reason }]);
  };
  const { O_RDONLY, O_NONBLOCK, O_NOCTTY } = constants;
  const handle = await open(file, O_RDONLY | O_NONBLOCK | O_NOCTTY).catch((thrown: unknown) =>
    isAbsent(thrown) ? undefined : refuse(`can't be read (${codeOf(thrown)})`),
  );
  if (handle === undefined) return undefined;
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) refuse('not a regular file');
    if (stat.size > configLimits.fileBytes)
      refuse(`${stat.size} bytes, more than the ${configLimits.fileBytes} allowed`);
    const bytes = await handle.readFile();
    // as TOML wants it; decoded all the same, a path in it would be another one
    return isUtf8(bytes) ? bytes.toString('utf8') : refuse('not UTF-8');
  } finally {
    await handle.close();
  }
}

/** Path of the introspection socket: in the state directory unless configured. */
export function introspectionSocket(config: Config): string {
  return config.introspection.socket === ''
    ? join(config.state, 'introspection.sock')
    : config.introspection.socket;
}

/** The environment, for a program that takes this daemon's place. */
export function ownEnvironment(): Readonly<Record<string, string>> {
  const { ...variables } = process.env;
  return Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, value ?? '']));
}

/** What the choice of a form depends on. */
export interface LogPlace {
  readonly isTerminal: boolean;
  /** JOURNAL_STREAM of the environment: device and inode of the journal's socket (systemd.exec(5)). */
  readonly journalStream: string;
  /** The same of standard error. */
  readonly stream: string;
}

/** What `log.format = "auto"` goes by: whether standard error is a terminal, or the journal's socket. */
export function logPlace(): LogPlace {
  const { dev, ino } = fstatSync(2);
  const journalStream = process.env['JOURNAL_STREAM'] ?? '';
  return { isTerminal: process.stderr.isTTY === true, journalStream, stream: `${dev}:${ino}` };
}

/** The environment's settings for the terminal: NO_COLOR (any value but an empty one), TERM, COLUMNS. */
export function terminalSettings(): { readonly noColor: boolean; readonly columns: number } {
  const { NO_COLOR, TERM, COLUMNS } = process.env;
  const columns = Number(COLUMNS ?? '');
  return {
    noColor: (NO_COLOR ?? '') !== '' || TERM === 'dumb',
    columns: Number.isSafeInteger(columns) && columns > 0 ? columns : 0,
  };
}
