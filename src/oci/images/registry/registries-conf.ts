/**
 * containers-registries.conf(5), version 2: which names mean which registries. Parsing only; `endpoints.ts` decides
 * what a reference leads to, `load-registries.ts` reads the files.
 *
 * The file belongs to the node and other programs read it too, so a part that is not understood ends nothing (F95). What
 * could hide a block or a mirror refuses the pulls that it may be about; all else is ignored, and both are reported.
 */
import { parse, TomlError } from 'smol-toml';
import { FaultError } from '../../../base/fault.ts';
import { distributionLimits } from '../bounds.ts';
import { parseHost } from '../model/reference.ts';
import { canonicalPlace, isName, isPlace } from './conf-places.ts';
import { Table } from './conf-table.ts';

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
  /** Replaces the prefix in the reference; empty with a wildcard prefix: the reference stays as it is. */
  readonly location: string;
  readonly insecure: boolean;
  readonly blocked: boolean;
  readonly mirrors: readonly MirrorRule[];
  /** Why pulls of this prefix are refused: its table could not be understood. */
  readonly refusal?: string;
}

export interface RegistriesConf {
  /** Undefined: not configured, and short names mean docker.io. */
  readonly searchRegistries: readonly string[] | undefined;
  readonly shortNameMode: ShortNameMode | undefined;
  readonly rules: readonly RegistryRule[];
  /** Short name → name with host; an empty value removes an alias of an earlier file. */
  readonly aliases: ReadonlyMap<string, string>;
  /** Why every pull is refused: a file could not be read, and may block registries. */
  readonly refusal?: string;
  /** Why short names are refused: what decides on them could not be understood. */
  readonly shortNameRefusal?: string;
  /** What was not understood, by file; `line 3: …`. */
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

/** Never throws: what is not understood is in `problems`, and in a refusal where pulls may depend on it. */
export function parseRegistriesConf(text: string, file: string): RegistriesConf {
  const problems: string[] = [];
  try {
    const conf = readTop(new Table(text, file, [], parse(text), problems));
    return problems.length === 0 ? conf : { ...conf, problems: new Map([[file, joined(problems)]]) };
  } catch (error) {
    if (error instanceof TomlError)
      return refusedFile(file, `line ${error.line}: ${error.message.split('\n', 1)[0] ?? ''}`);
    if (error instanceof FaultError) return refusedFile(file, error.fault.message);
    throw error;
  }
}

/** A file (or directory) that can't be used at all: it may block registries, so nothing is pulled. */
export function refusedFile(file: string, reason: string): RegistriesConf {
  const refusal = `${file}: ${reason}`;
  return { ...emptyRegistriesConf, refusal, shortNameRefusal: refusal, problems: new Map([[file, reason]]) };
}

/** Whether pulls that the file may allow are refused because a part of it was not understood. */
export function hasRefusals({ refusal, shortNameRefusal, rules }: RegistriesConf): boolean {
  return (
    refusal !== undefined ||
    shortNameRefusal !== undefined ||
    rules.some((rule) => rule.refusal !== undefined)
  );
}

/** The first problem with its line, and how many more there are. */
function joined([first = '', ...others]: readonly string[]): string {
  return others.length === 0 ? first : `${first}; and ${others.length} more`;
}

/**
 * Later files win: a rule replaces an earlier one of the same prefix as a whole, the search list is replaced, aliases
 * are merged (the manual's drop-in section).
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

function readTop(top: Table): RegistriesConf {
  top.ignoreOthers([
    'unqualified-search-registries',
    'short-name-mode',
    'registry',
    'aliases',
    'credential-helpers',
    // of the containers tools' own layer stores, which do not exist here
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

/** Credentials come from `images.auth_files`; of the helpers that the key may name only that one is meant. */
function checkHelpers(top: Table): void {
  const others = (top.texts('credential-helpers') ?? []).filter(
    (helper) => helper !== 'containers-auth.json',
  );
  if (others.length > 0)
    top.refuse('credential-helpers', `${others.join(', ')}: only "containers-auth.json" is supported`);
}

function readShortNames(top: Table): Pick<RegistriesConf, 'searchRegistries' | 'shortNameMode' | 'aliases'> {
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

/** One rule for each prefix. Of two tables of one prefix nobody knows which one counts, so its pulls are refused. */
function readRules(top: Table): readonly RegistryRule[] {
  const rules = new Map<string, RegistryRule>();
  for (const table of top.tables('registry', distributionLimits.registries)) {
    const prefix = readPrefix(table);
    const read = table.attempt(() => {
      if (rules.has(prefix)) table.refuse('prefix', `${prefix} has a table already`);
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

function readAliases(top: Table): ReadonlyMap<string, string> {
  const table = top.table('aliases');
  const aliases = new Map<string, string>();
  for (const name of table?.names() ?? []) {
    const target = table?.text(name) ?? '';
    if (!isName(name, false)) table?.refuse(name, 'is not a short name without tag and digest');
    if (target !== '' && !isName(target, true))
      table?.refuse(name, 'does not lead to host/name without tag and digest');
    aliases.set(name, target);
  }
  return aliases;
}

/** Throws for a table of which nobody can say which images it is about. */
function readPrefix(table: Table): string {
  const location = placeIn(table, 'location');
  // an empty one is none: OpenShift's operators write it into each table
  const stated = placeIn(table, 'prefix');
  const prefix = stated === '' ? location : stated;
  if (prefix === '') table.refuse('registry', 'has neither prefix nor location');
  const isWildcard = prefix.startsWith('*.');
  if (
    isWildcard ? parseHost(prefix.slice(2)) === undefined || prefix.includes(':') : !isPlace(prefix, true)
  ) {
    table.refuse(
      table.has('prefix') ? 'prefix' : 'location',
      `${prefix} is neither host[:port][/path] nor *.domain`,
    );
  }
  return canonicalPlace(prefix);
}

function readRule(table: Table, prefix: string): RegistryRule {
  table.ignoreOthers(['prefix', 'location', 'insecure', 'blocked', 'mirror', 'mirror-by-digest-only']);
  const location = placeIn(table, 'location');
  const isWildcard = prefix.startsWith('*.');
  if (location === '' && !isWildcard && !isPlace(prefix, false))
    table.refuse('location', 'is missing beside a prefix with a tag or digest');
  if (location !== '' && !isPlace(location, false))
    table.refuse('location', `${location} is not host[:port][/path]`);
  const byDigestOnly = table.flag('mirror-by-digest-only');
  const mirrors = table
    .tables('mirror', distributionLimits.mirrors)
    .map((mirror) => readMirror(mirror, byDigestOnly));
  return Object.freeze({
    prefix,
    location: location === '' && !isWildcard ? prefix : canonicalPlace(location),
    insecure: table.flag('insecure'),
    blocked: table.flag('blocked'),
    mirrors: Object.freeze(mirrors),
  });
}

function readMirror(table: Table, byDigestOnly: boolean): MirrorRule {
  table.ignoreOthers(['location', 'insecure', 'pull-from-mirror']);
  const location = placeIn(table, 'location');
  if (!isPlace(location, false))
    table.refuse('location', `${JSON.stringify(location)} is not host[:port][/path]`);
  const pullFrom = table.word('pull-from-mirror', PULL_FROM);
  if (pullFrom !== undefined && byDigestOnly) {
    table.refuse('pull-from-mirror', 'cannot stand beside mirror-by-digest-only of the registry');
  }
  const fallback = byDigestOnly ? 'digest-only' : 'all';
  return Object.freeze({
    location: canonicalPlace(location),
    insecure: table.flag('insecure'),
    pullFrom: (pullFrom ?? fallback) as PullFromMirror,
  });
}

/** The text without slashes at its end, which the containers tools pass over; '' when it is not there. */
function placeIn(table: Table, key: string): string {
  return (table.text(key) ?? '').replace(/\/+$/u, '');
}
