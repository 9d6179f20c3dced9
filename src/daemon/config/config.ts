/** Reads the configuration: defaults, the file, its drop-ins in the order of their names, then the command line. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import { fail, toFault } from '../../base/fault.ts';
import { configLimits } from '../bounds.ts';
import { SecretUrl } from '../../base/secret-url.ts';
import { codeOf, isAbsent } from '../../host/ffi/errno.ts';
import { namesOf } from '../../host/files/names-of.ts';
import { isSlice } from '../../host/cgroups/slices.ts';
import { lineOfKey } from '../../oci/images/registry/toml-lines.ts';
import type { Rule } from './sections/config-rule.ts';
import { DEFAULT_SLICE, defaultConfig, schema } from './config-schema.ts';
import type { Config } from './config-schema.ts';

type Table = Record<string, unknown>;

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
}

/** A key that can't be used, and why; `whole` is the key or table that is ignored with it. */
interface Problem {
  readonly at: readonly string[];
  readonly whole: readonly string[];
  readonly reason: string;
}

/**
 * The configuration from `file` and `<file>.d/*.toml`; a missing file is the default one unless `isRequired`.
 * Throws `invalidRequest` with file and line for an error in any of them.
 */
export async function loadConfig(file: string, isRequired: boolean, overrides: Overrides): Promise<Config> {
  const { config, problems } = await readConfig(file, isRequired, overrides);
  const [first] = problems;
  if (first === undefined) return config;
  const [path, reason] = first;
  return fail(
    'invalidRequest',
    `read configuration ${path}${reason.startsWith('line ') ? ', ' : ': '}${reason}`,
    { subject: path },
  );
}

/**
 * The same, but the valid keys of a bad drop-in take effect (F95): installers write drop-ins, and one bad key must not
 * stop the node. Only an error in `file` itself is refused, with `invalidRequest`, file and line.
 */
export async function readConfig(
  file: string,
  isRequired: boolean,
  overrides: Overrides,
): Promise<ReadConfig> {
  const text = await readText(file);
  if (text === undefined && isRequired) missing(file);
  const own = text === undefined ? defaultConfig : applyFile(defaultConfig, text, file);
  const problems = new Map<string, string>();
  const directory = `${file}.d`;
  const problem = (path: string, thrown: unknown): void =>
    void problems.set(path, withoutPath(toFault(thrown).message, path));
  let config = own;
  for (const dropIn of await dropIns(directory).catch(
    (thrown: unknown) => problem(directory, thrown) ?? [],
  )) {
    try {
      const applied = applyDropIn(config, (await readText(dropIn)) ?? missing(dropIn), dropIn);
      config = applied.config;
      if (applied.reason !== '') problems.set(dropIn, applied.reason);
    } catch (thrown) {
      problem(dropIn, thrown);
    }
  }
  try {
    config = withCgroupParent(config, directory);
  } catch (thrown) {
    // without the drop-ins, the file must be right by itself
    config = withCgroupParent({ ...config, cgroup: own.cgroup }, file);
    problem(directory, thrown);
  }
  return { config: withOverrides(config, overrides), problems };
}

/** The configuration with one file applied; pure. Throws `invalidRequest` with file and line. */
export function applyFile(config: Config, text: string, file: string): Config {
  const table = parseToml(text, file);
  check(table, schema, [], ({ at, reason }) =>
    fail(
      'invalidRequest',
      `read configuration ${file}, line ${lineOfKey(text, at)}: ${at.join('.')}: ${reason}`,
      { subject: at.join('.') },
    ),
  );
  return over(config, table);
}

/**
 * The configuration with a drop-in's valid keys applied, and why the others are not; pure. Throws for text that is not
 * TOML.
 */
function applyDropIn(
  config: Config,
  text: string,
  file: string,
): { readonly config: Config; readonly reason: string } {
  const table = parseToml(text, file);
  const found: Problem[] = [];
  check(table, schema, [], (problem) => void found.push(problem));
  for (const { whole } of found) drop(table, whole);
  const [first] = found;
  const applied = over(config, table);
  if (first === undefined) return { config: applied, reason: '' };
  const more = found.length === 1 ? '' : `; and ${found.length - 1} more`;
  const reason = `line ${lineOfKey(text, first.at)}: ${first.at.join('.')}: ${first.reason}${more}`;
  return { config: applied, reason };
}

/** The configuration with a checked table applied. */
function over(config: Config, table: Table): Config {
  return merge(config as never, withSecrets(table, schema)) as never;
}

function drop(table: Table, [first = '', ...others]: readonly string[]): void {
  const inner = table[first];
  if (others.length === 0) delete table[first];
  else if (isTable(inner)) drop(inner, others);
}

/** The message without the file's path, which the condition names itself. */
function withoutPath(message: string, path: string): string {
  return message.replace(`read configuration ${path}, `, '').replace(`read configuration ${path}: `, '');
}

function parseToml(text: string, file: string): Table {
  try {
    return parse(text);
  } catch (thrown) {
    if (!(thrown instanceof TomlError)) throw thrown;
    const reason = thrown.message.split('\n', 1)[0] ?? '';
    return fail('invalidRequest', `read configuration ${file}, line ${thrown.line}: ${reason}`, {
      subject: file,
    });
  }
}

type Report = (problem: Problem) => void;

function check(
  table: Table,
  rules: Readonly<Record<string, Rule>>,
  path: readonly string[],
  report: Report,
  whole?: readonly string[],
): void {
  for (const [key, value] of Object.entries(table)) {
    const at = [...path, key];
    const rule = Object.hasOwn(rules, key) ? rules[key] : undefined;
    if (rule === undefined) report({ at, whole: whole ?? at, reason: 'no such key' });
    else checkValue(value, rule, at, report, whole ?? at);
  }
}

function checkValue(
  value: unknown,
  rule: Rule,
  at: readonly string[],
  report: Report,
  whole: readonly string[],
): void {
  const refuse = (reason: string): void => report({ at, whole, reason });
  if (rule.is !== 'table' && rule.is !== 'named') {
    const must = mustOf(value, rule);
    if (must !== undefined) refuse(`must ${must}`);
    return;
  }
  if (!isTable(value)) return refuse('must be a table');
  if (rule.is === 'table') return check(value, rule.keys, at, report);
  for (const [name, entry] of Object.entries(value)) {
    // a handler with some keys missing is another handler, so an entry with an error is ignored as a whole
    const entryAt = [...at, name];
    const refuseEntry = (reason: string): void => report({ at, whole: entryAt, reason });
    if (!rule.name.test(name)) {
      refuseEntry(`${name} is not a plain name`);
    } else if (!isTable(entry)) {
      refuseEntry(`${name} must be a table`);
    } else {
      check(entry, rule.each, entryAt, report, entryAt);
      const missingKey =
        rule.isWhole === true ? Object.keys(rule.each).find((key) => !Object.hasOwn(entry, key)) : undefined;
      if (missingKey !== undefined) refuseEntry(`${name} has no ${missingKey}`);
    }
  }
}

/** What the value must be; undefined when it is valid. */
function mustOf(value: unknown, rule: Exclude<Rule, { readonly is: 'table' | 'named' }>): string | undefined {
  const unless = (isRight: boolean, must: string): string | undefined => (isRight ? undefined : must);
  const isText = typeof value === 'string';
  switch (rule.is) {
    case 'path':
      return unless(isText && isAbsolute(value), 'be an absolute path');
    case 'optionalPath':
      return unless(isText && (value === '' || isAbsolute(value)), 'be an absolute path or empty');
    case 'text':
      return unless(isText, 'be a string');
    case 'optionalForm':
      return unless(isText && (value === '' || rule.form.test(value)), rule.must);
    case 'secretUrl':
      return unless(isText && (value === '' || (rule.form.test(value) && URL.canParse(value))), rule.must);
    case 'oneOf':
      return unless(isText && rule.values.includes(value), `be one of ${rule.values.join(', ')}`);
    case 'paths':
      return unless(isTexts(value) && value.every(isAbsolute), 'be a list of absolute paths');
    case 'hosts':
      return unless(
        isTexts(value) && value.every((one) => /^[a-z0-9.-]+$/u.test(one)),
        'be a list of lower-case host names',
      );
    case 'words':
      return unless(isTexts(value) && value.every((one) => rule.form.test(one)), rule.must);
    case 'texts':
      return unless(isTable(value) && isTexts(Object.values(value)), 'be a table of strings');
    case 'yesOrNo':
      return unless(typeof value === 'boolean', 'be true or false');
    case 'count':
    case 'milliseconds':
      return unless(
        Number.isInteger(value) && Number(value) >= 1 && Number(value) <= rule.most,
        `be a whole number from 1 to ${rule.most}`,
      );
    case 'port':
      return unless(
        typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 65_535,
        'be a number from 0 to 65535',
      );
    case 'limit':
      return unless(
        value === 'unlimited' || (Number.isSafeInteger(value) && Number(value) >= (rule.least ?? 0)),
        `be a whole number from ${rule.least ?? 0} on, or "unlimited"`,
      );
  }
}

/** Turns values that may hold a password into a type that can't be shown (S92). */
function withSecrets(table: Table, rules: Readonly<Record<string, Rule>>): Table {
  const typed = Object.entries(table).map(([key, value]) => {
    const rule = rules[key];
    if (rule?.is === 'secretUrl' && typeof value === 'string' && value !== '')
      return [key, new SecretUrl(value)];
    return [key, rule?.is === 'table' && isTable(value) ? withSecrets(value, rule.keys) : value];
  });
  return Object.fromEntries(typed) as Table;
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

function isTable(value: unknown): value is Table {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Date) &&
    !(value instanceof SecretUrl)
  );
}

function merge(base: Table, over: Table): Table {
  const merged: Table = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const old = merged[key];
    merged[key] = isTable(value) && isTable(old) ? merge(old, value) : value;
  }
  return merged;
}

/** A parent in the other driver's form would put pods where neither kubelet nor systemd expects them. */
function withCgroupParent(config: Config, file: string): Config {
  const { driver, parent } = config.cgroup;
  const wanted = driver === 'systemd';
  if (parent === '' || parent === defaultConfig.cgroup.parent) {
    return { ...config, cgroup: { driver, parent: wanted ? DEFAULT_SLICE : defaultConfig.cgroup.parent } };
  }
  if (isSlice(parent) === wanted) return config;
  const must = wanted ? 'must be a slice' : 'must not be a slice';
  return fail(
    'invalidRequest',
    `read configuration ${file}: cgroup.parent: ${parent}: with the driver ${driver} it ${must}`,
    { subject: 'cgroup.parent' },
  );
}

function withOverrides(config: Config, overrides: Overrides): Config {
  const { logLevel, ...paths } = overrides;
  for (const [name, path] of Object.entries(paths)) {
    if (path !== undefined && !isAbsolute(path))
      fail('invalidRequest', `use --${name} ${path}: must be an absolute path`);
  }
  return { ...config, ...paths, log: { level: logLevel ?? config.log.level } };
}

async function dropIns(directory: string): Promise<readonly string[]> {
  return (await namesOf(directory))
    .filter((name) => name.endsWith('.toml'))
    .toSorted()
    .map((name) => join(directory, name));
}

function missing(file: string): never {
  return fail('invalidRequest', `read configuration ${file}: not found`, { subject: file });
}

/**
 * The text of a regular file; undefined when it does not exist. Anything else in its place must neither block a reload
 * nor fill the memory (F32).
 */
async function readText(file: string): Promise<string | undefined> {
  const refuse = (reason: string): never =>
    fail('invalidRequest', `read configuration ${file}: ${reason}`, { subject: file });
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
    return await handle.readFile('utf8');
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

/** systemd's notification socket from the environment; empty when not set. */
export function notifySocket(): string {
  return process.env['NOTIFY_SOCKET'] ?? '';
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
