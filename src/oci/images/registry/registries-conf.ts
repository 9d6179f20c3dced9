/**
 * Parses containers-registries.conf(5), version 2, which maps names to registries. `load-registries.ts` reads the
 * files; `endpoints.ts` applies the rules to a reference.
 *
 * Other programs on the node read the file, too, so a part that cannot be parsed must not stop the daemon (F95). If
 * such a part may hide a block or a mirror, the pulls that it may concern are refused; other parts are ignored. Both
 * are reported.
 */
import { parse, TomlError } from 'smol-toml';
import { FaultError } from '../../../base/fault.ts';
import { distributionLimits } from '../bounds.ts';
import { parseHost } from '../model/reference.ts';
import { canonicalLocation, isImageName, isLocation } from './conf-names.ts';
import { ConfTable } from './conf-table.ts';

export type PullFromMirror = 'all' | 'digest-only' | 'tag-only';
export type ShortNameMode = 'enforcing' | 'permissive' | 'disabled';

export interface MirrorRule {
  /** `host[:port][/path]`. */
  readonly location: string;
  readonly insecure: boolean;
  readonly pullFrom: PullFromMirror;
}

export interface RegistryRule {
  /** `host[:port][/path…][:tag|@digest]`, or `*.domain`. */
  readonly prefix: string;
  /** Replaces the prefix in the reference. May be empty with a wildcard prefix: the reference then stays as it is. */
  readonly location: string;
  readonly insecure: boolean;
  readonly blocked: boolean;
  readonly mirrors: readonly MirrorRule[];
  /** Why pulls of this prefix are refused: its table could not be parsed. */
  readonly refusal?: string;
}

export interface RegistriesConf {
  /** Undefined if not configured: short names then mean docker.io. */
  readonly searchRegistries: readonly string[] | undefined;
  readonly shortNameMode: ShortNameMode | undefined;
  readonly rules: readonly RegistryRule[];
  /** Short name → name with host. An empty value removes an alias of an earlier file. */
  readonly aliases: ReadonlyMap<string, string>;
  /** Why every pull is refused: a file could not be read and may block registries. */
  readonly refusal?: string;
  /** Why short names are refused: the keys for them could not be parsed. */
  readonly shortNameRefusal?: string;
  /** What could not be parsed, by file; `line 3: …`. */
  readonly problems: ReadonlyMap<string, string>;
}

export const emptyRegistriesConf: RegistriesConf = Object.freeze({
  searchRegistries: undefined,
  shortNameMode: undefined,
  rules: Object.freeze([]),
  aliases: new Map<string, string>(),
  problems: new Map<string, string>(),
});

const PULL_FROM: readonly string[] = ['all', 'digest-only', 'tag-only'] satisfies PullFromMirror[];
const MODES: readonly string[] = ['enforcing', 'permissive', 'disabled'] satisfies ShortNameMode[];

/** Parses a file. Never throws: what cannot be parsed is in `problems`, and in a refusal if pulls may depend on it. */
export function parseRegistriesConf(text: string, file: string): RegistriesConf {
  const problems: string[] = [];
  try {
    const conf = readTop(new ConfTable(text, file, [], parse(text), problems));
    return problems.length === 0 ? conf : { ...conf, problems: new Map([[file, joined(problems)]]) };
  } catch (error) {
    if (error instanceof TomlError)
      return refusedFile(file, `line ${error.line}: ${error.message.split('\n', 1)[0] ?? ''}`);
    if (error instanceof FaultError) return refusedFile(file, error.fault.message);
    throw error;
  }
}

/** The result for a file or directory that cannot be used at all. It may block registries, so every pull is refused. */
export function refusedFile(file: string, reason: string): RegistriesConf {
  const refusal = `${file}: ${reason}`;
  return { ...emptyRegistriesConf, refusal, shortNameRefusal: refusal, problems: new Map([[file, reason]]) };
}

/** Whether the configuration refuses pulls because a part of it could not be parsed. */
export function hasRefusals({ refusal, shortNameRefusal, rules }: RegistriesConf): boolean {
  return (
    refusal !== undefined ||
    shortNameRefusal !== undefined ||
    rules.some((rule) => rule.refusal !== undefined)
  );
}

/** The first problem, with the number of further ones. */
function joined([first = '', ...others]: readonly string[]): string {
  return others.length === 0 ? first : `${first}; and ${others.length} more`;
}

/**
 * Merges the files; later ones win. A rule replaces an earlier rule with the same prefix as a whole, the search list is
 * replaced, and aliases are merged (the manual's drop-in section).
 */
export function mergeRegistriesConf(files: readonly RegistriesConf[]): RegistriesConf {
  const rules = new Map<string, RegistryRule>();
  const aliases = new Map<string, string>();
  let searchRegistries: readonly string[] | undefined;
  let shortNameMode: ShortNameMode | undefined;
  const problems = new Map<string, string>();
  for (const file of files) {
    for (const [path, reason] of file.problems) problems.set(path, reason);
    for (const rule of file.rules) rules.set(rule.prefix, rule);
    for (const [name, target] of file.aliases) aliases.set(name, target);
    searchRegistries = file.searchRegistries ?? searchRegistries;
    shortNameMode = file.shortNameMode ?? shortNameMode;
  }
  const refusal = files.find((file) => file.refusal !== undefined)?.refusal;
  const shortNameRefusal = files.find((file) => file.shortNameRefusal !== undefined)?.shortNameRefusal;
  return Object.freeze({
    searchRegistries,
    shortNameMode,
    rules: Object.freeze([...rules.values()]),
    aliases,
    problems,
    ...(refusal === undefined ? {} : { refusal }),
    ...(shortNameRefusal === undefined ? {} : { shortNameRefusal }),
  });
}

function readTop(top: ConfTable): RegistriesConf {
  top.ignoreOthers([
    'unqualified-search-registries',
    'short-name-mode',
    'registry',
    'aliases',
    'credential-helpers',
    // for the layer stores of containers/storage, which this runtime does not have
    'additional-layer-store-auth-helper',
  ]);
  top.attempt(() => checkHelpers(top));
  const names = top.attempt(() => readShortNames(top));
  return Object.freeze({
    ...emptyRegistriesConf,
    rules: Object.freeze(readRules(top)),
    ...('refusal' in names ? { shortNameRefusal: names.refusal } : names.value),
  });
}

/** Accepts "containers-auth.json" only: the credential files come from `images.auth_files`. */
function checkHelpers(top: ConfTable): void {
  const others = (top.texts('credential-helpers') ?? []).filter(
    (helper) => helper !== 'containers-auth.json',
  );
  if (others.length > 0)
    top.refuse('credential-helpers', `${others.join(', ')}: only "containers-auth.json" is supported`);
}

function readShortNames(
  top: ConfTable,
): Pick<RegistriesConf, 'searchRegistries' | 'shortNameMode' | 'aliases'> {
  const searchRegistries = top.texts('unqualified-search-registries');
  for (const host of searchRegistries ?? []) {
    if (parseHost(host) === undefined)
      top.refuse('unqualified-search-registries', `${host} is not host[:port]`);
  }
  return {
    searchRegistries,
    shortNameMode: top.word('short-name-mode', MODES) as ShortNameMode | undefined,
    aliases: readAliases(top),
  };
}

/**
 * One rule for each prefix. If two tables have the same prefix, its pulls are refused: it is unclear which one counts.
 */
function readRules(top: ConfTable): readonly RegistryRule[] {
  const rules = new Map<string, RegistryRule>();
  for (const table of top.tables('registry', distributionLimits.registries)) {
    const prefix = readPrefix(table);
    const read = table.attempt(() => {
      if (rules.has(prefix)) table.refuse('prefix', `${prefix} has more than one table`);
      return readRule(table, prefix);
    });
    rules.set(prefix, 'value' in read ? read.value : refusedRule(prefix, read.refusal));
  }
  return [...rules.values()];
}

function refusedRule(prefix: string, refusal: string): RegistryRule {
  const location = prefix.startsWith('*.') ? '' : prefix;
  return Object.freeze({
    prefix,
    location,
    insecure: false,
    blocked: true,
    mirrors: Object.freeze([]),
    refusal,
  });
}

function readAliases(top: ConfTable): ReadonlyMap<string, string> {
  const table = top.table('aliases');
  const aliases = new Map<string, string>();
  for (const name of table?.names() ?? []) {
    const target = table?.text(name) ?? '';
    if (!isImageName(name, false)) table?.refuse(name, 'is not a short name without tag and digest');
    if (target !== '' && !isImageName(target, true))
      table?.refuse(name, 'the target is not host/name without tag and digest');
    aliases.set(name, target);
  }
  return aliases;
}

/** The prefix of a table. Throws if it is unclear which images the table concerns. */
function readPrefix(table: ConfTable): string {
  const location = locationIn(table, 'location');
  // an empty prefix counts as missing: OpenShift's operators write one into each table
  const stated = locationIn(table, 'prefix');
  const prefix = stated === '' ? location : stated;
  if (prefix === '') table.refuse('registry', 'has neither prefix nor location');
  const isWildcard = prefix.startsWith('*.');
  if (
    isWildcard ? parseHost(prefix.slice(2)) === undefined || prefix.includes(':') : !isLocation(prefix, true)
  ) {
    table.refuse(
      table.has('prefix') ? 'prefix' : 'location',
      `${prefix} is neither host[:port][/path] nor *.domain`,
    );
  }
  return canonicalLocation(prefix);
}

function readRule(table: ConfTable, prefix: string): RegistryRule {
  table.ignoreOthers(['prefix', 'location', 'insecure', 'blocked', 'mirror', 'mirror-by-digest-only']);
  const location = locationIn(table, 'location');
  const isWildcard = prefix.startsWith('*.');
  if (location === '' && !isWildcard && !isLocation(prefix, false))
    table.refuse('location', 'is required with a prefix that has a tag or digest');
  if (location !== '' && !isLocation(location, false))
    table.refuse('location', `${location} is not host[:port][/path]`);
  const byDigestOnly = table.flag('mirror-by-digest-only');
  const mirrors = table
    .tables('mirror', distributionLimits.mirrors)
    .map((mirror) => readMirror(mirror, byDigestOnly));
  return Object.freeze({
    prefix,
    location: location === '' && !isWildcard ? prefix : canonicalLocation(location),
    insecure: table.flag('insecure'),
    blocked: table.flag('blocked'),
    mirrors: Object.freeze(mirrors),
  });
}

function readMirror(table: ConfTable, byDigestOnly: boolean): MirrorRule {
  table.ignoreOthers(['location', 'insecure', 'pull-from-mirror']);
  const location = locationIn(table, 'location');
  if (!isLocation(location, false))
    table.refuse('location', `${JSON.stringify(location)} is not host[:port][/path]`);
  const pullFrom = table.word('pull-from-mirror', PULL_FROM);
  if (pullFrom !== undefined && byDigestOnly) {
    table.refuse('pull-from-mirror', 'cannot be combined with mirror-by-digest-only of the registry');
  }
  const fallback = byDigestOnly ? 'digest-only' : 'all';
  return Object.freeze({
    location: canonicalLocation(location),
    insecure: table.flag('insecure'),
    pullFrom: (pullFrom ?? fallback) as PullFromMirror,
  });
}

/** The value without trailing slashes, which containers/image ignores; '' if the key is missing. */
function locationIn(table: ConfTable, key: string): string {
  return (table.text(key) ?? '').replace(/\/+$/u, '');
}
