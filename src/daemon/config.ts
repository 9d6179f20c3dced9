/** Reads the configuration: defaults, the file, its drop-ins in the order of their names, then the command line. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import { fail } from '../base/fault.ts';
import { configLimits } from '../base/limits.ts';
import { SecretUrl } from '../base/secret-url.ts';
import { codeOf, isAbsent } from '../host/errno.ts';
import { namesOf } from '../host/names-of.ts';
import { isSlice } from '../host/slices.ts';
import { lineOfKey } from '../oci/distribution/toml-lines.ts';
import { DEFAULT_SLICE, defaultConfig, schema } from './config-schema.ts';
import type { Config, Rule } from './config-schema.ts';

type Table = Record<string, unknown>;

export interface Overrides {
  readonly root?: string;
  readonly state?: string;
  readonly socket?: string;
  readonly logLevel?: string;
}

/**
 * The configuration from `file` and `<file>.d/*.toml`; a missing file is the default one unless `isRequired`.
 * Throws `invalidRequest` with file and line for what is not understood.
 */
export async function loadConfig(file: string, isRequired: boolean, overrides: Overrides): Promise<Config> {
  let config = defaultConfig;
  const text = await readText(file);
  if (text === undefined && isRequired) missing(file);
  if (text !== undefined) config = applyFile(config, text, file);
  for (const dropIn of await dropIns(`${file}.d`)) {
    config = applyFile(config, (await readText(dropIn)) ?? missing(dropIn), dropIn);
  }
  return withOverrides(withCgroupParent(config, file), overrides);
}

/** One file over what stands; pure. Throws `invalidRequest` with file and line. */
export function applyFile(config: Config, text: string, file: string): Config {
  const table = parseToml(text, file);
  check(table, schema, [], text, file);
  return merge(config as never, withSecrets(table, schema)) as never;
}

function parseToml(text: string, file: string): Table {
  try {
    return parse(text);
  } catch (thrown) {
    if (!(thrown instanceof TomlError)) throw thrown;
    const reason = thrown.message.split('\n', 1)[0] ?? '';
    return fail('invalidRequest', `read configuration ${file}, line ${thrown.line}: ${reason}`, { subject: file });
  }
}

function check(table: Table, rules: Readonly<Record<string, Rule>>, path: readonly string[], text: string, file: string): void {
  for (const [key, value] of Object.entries(table)) {
    const at = [...path, key];
    const rule = Object.hasOwn(rules, key) ? rules[key] : undefined;
    const refuse = (reason: string): never =>
      fail('invalidRequest', `read configuration ${file}, line ${lineOfKey(text, at)}: ${at.join('.')}: ${reason}`, { subject: at.join('.') });
    if (rule === undefined) refuse('no such key');
    else checkValue(value, rule, at, text, file, refuse);
  }
}

function checkValue(
  value: unknown, rule: Rule, at: readonly string[], text: string, file: string, refuse: (reason: string) => never,
): void {
  if (rule.is !== 'table' && rule.is !== 'named') {
    const must = mustOf(value, rule);
    if (must !== undefined) refuse(`must ${must}`);
    return;
  }
  if (!isTable(value)) return refuse('must be a table');
  if (rule.is === 'table') return check(value, rule.keys, at, text, file);
  for (const [name, entry] of Object.entries(value)) {
    if (!rule.name.test(name)) refuse(`${name} is not a plain name`);
    if (!isTable(entry)) return refuse(`${name} must be a table`);
    check(entry, rule.each, [...at, name], text, file);
    const missing = rule.isWhole === true ? Object.keys(rule.each).find((key) => !Object.hasOwn(entry, key)) : undefined;
    if (missing !== undefined) refuse(`${name} has no ${missing}`);
  }
}

/** What a value must be that it is not; undefined when it is right. */
function mustOf(value: unknown, rule: Exclude<Rule, { readonly is: 'table' | 'named' }>): string | undefined {
  const unless = (isRight: boolean, must: string): string | undefined => (isRight ? undefined : must);
  const isText = typeof value === 'string';
  switch (rule.is) {
    case 'path':
      return unless(isText && isAbsolute(value), 'be an absolute path');
    case 'optionalPath':
      return unless(isText && (value === '' || isAbsolute(value)), 'be an absolute path or empty');
    case 'text':
      return unless(isText, 'be a text');
    case 'optionalForm':
      return unless(isText && (value === '' || rule.form.test(value)), rule.must);
    case 'secretUrl':
      return unless(isText && (value === '' || (rule.form.test(value) && URL.canParse(value))), rule.must);
    case 'oneOf':
      return unless(isText && rule.values.includes(value), `be one of ${rule.values.join(', ')}`);
    case 'paths':
      return unless(isTexts(value) && value.every(isAbsolute), 'be a list of absolute paths');
    case 'hosts':
      return unless(isTexts(value) && value.every((one) => /^[a-z0-9.-]+$/u.test(one)), 'be a list of host names in small letters');
    case 'words':
      return unless(isTexts(value) && value.every((one) => rule.form.test(one)), rule.must);
    case 'texts':
      return unless(isTable(value) && isTexts(Object.values(value)), 'be a table of texts');
    case 'yesOrNo':
      return unless(typeof value === 'boolean', 'be true or false');
    case 'count':
    case 'milliseconds':
      return unless(Number.isInteger(value) && Number(value) >= 1 && Number(value) <= rule.most, `be a whole number from 1 to ${rule.most}`);
    case 'port':
      return unless(typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 65_535, 'be a number from 0 to 65535');
    case 'limit':
      return unless(value === 'unlimited' || (Number.isSafeInteger(value) && Number(value) >= (rule.least ?? 0)), `be a whole number from ${rule.least ?? 0} on, or "unlimited"`);
  }
}

/** What may hold a password as a type of its own, so that nothing can show it (S92). */
function withSecrets(table: Table, rules: Readonly<Record<string, Rule>>): Table {
  const typed = Object.entries(table).map(([key, value]) => {
    const rule = rules[key];
    if (rule?.is === 'secretUrl' && typeof value === 'string' && value !== '') return [key, new SecretUrl(value)];
    return [key, rule?.is === 'table' && isTable(value) ? withSecrets(value, rule.keys) : value];
  });
  return Object.fromEntries(typed) as Table;
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date) && !(value instanceof SecretUrl);
}

function merge(base: Table, over: Table): Table {
  const merged: Table = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const old = merged[key];
    merged[key] = isTable(value) && isTable(old) ? merge(old, value) : value;
  }
  return merged;
}

/** A parent in the other driver's words would put pods where neither kubelet nor systemd looks. */
function withCgroupParent(config: Config, file: string): Config {
  const { driver, parent } = config.cgroup;
  const wanted = driver === 'systemd';
  if (parent === '' || parent === defaultConfig.cgroup.parent) {
    return { ...config, cgroup: { driver, parent: wanted ? DEFAULT_SLICE : defaultConfig.cgroup.parent } };
  }
  if (isSlice(parent) === wanted) return config;
  const must = wanted ? 'must be a slice' : 'must not be a slice';
  return fail('invalidRequest', `read configuration ${file}: cgroup.parent: ${parent}: with the driver ${driver} it ${must}`, { subject: 'cgroup.parent' });
}

function withOverrides(config: Config, overrides: Overrides): Config {
  const { logLevel, ...paths } = overrides;
  for (const [name, path] of Object.entries(paths)) {
    if (path !== undefined && !isAbsolute(path)) fail('invalidRequest', `use --${name} ${path}: must be an absolute path`);
  }
  return { ...config, ...paths, log: { level: logLevel ?? config.log.level } };
}

async function dropIns(directory: string): Promise<readonly string[]> {
  return (await namesOf(directory)).filter((name) => name.endsWith('.toml')).toSorted().map((name) => join(directory, name));
}

function missing(file: string): never {
  return fail('invalidRequest', `read configuration ${file}: there is no such file`, { subject: file });
}

/** Of a regular file; undefined when there is none. What lies in its place must neither block a reload nor fill the memory (F32). */
async function readText(file: string): Promise<string | undefined> {
  const refuse = (reason: string): never => fail('invalidRequest', `read configuration ${file}: ${reason}`, { subject: file });
  const { O_RDONLY, O_NONBLOCK, O_NOCTTY } = constants;
  const handle = await open(file, O_RDONLY | O_NONBLOCK | O_NOCTTY).catch((thrown: unknown) =>
    isAbsent(thrown) ? undefined : refuse(`it can't be read (${codeOf(thrown)})`));
  if (handle === undefined) return undefined;
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) refuse('it is no regular file');
    if (stat.size > configLimits.fileBytes) refuse(`it has ${stat.size} bytes, more than ${configLimits.fileBytes}`);
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

/** Where the introspection socket lies: beside what else belongs to this instance, unless configured. */
export function introspectionSocket(config: Config): string {
  return config.introspection.socket === '' ? join(config.state, 'introspection.sock') : config.introspection.socket;
}

/** Looks at the environment: systemd's notification socket; empty when there is none. */
export function notifySocket(): string {
  return process.env['NOTIFY_SOCKET'] ?? '';
}

/** What the environment says of the terminal: NO_COLOR (any value but the empty one), TERM, COLUMNS. */
export function terminalWishes(): { readonly noColor: boolean; readonly columns: number } {
  const { NO_COLOR, TERM, COLUMNS } = process.env;
  const columns = Number(COLUMNS ?? '');
  return { noColor: (NO_COLOR ?? '') !== '' || TERM === 'dumb', columns: Number.isSafeInteger(columns) && columns > 0 ? columns : 0 };
}
