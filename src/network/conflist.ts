/**
 * Network configurations (CNI spec 1.1.0, section 1). Pure: turns text into a checked `Network` or the reason
 * why it is invalid. Fields that are not checked here are passed to the plugins unaltered.
 */
import { networkLimits } from './bounds.ts';
import type { CniJsonObject, CniJson } from './json.ts';
import { asArray, asObject, asString, member, parseObject } from './json.ts';

/** Every released version of the spec, oldest first. */
export const CNI_VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export type CniVersion = (typeof CNI_VERSIONS)[number];

export interface PluginConf {
  /** File name of the executable; without a path separator (S50). */
  readonly type: string;
  /** Capabilities that the configuration declares as true. */
  readonly capabilities: readonly string[];
  /** The configuration as written. */
  readonly raw: CniJsonObject;
}

export interface Network {
  readonly name: string;
  /** The highest version among `cniVersion` and `cniVersions` that troupe knows. */
  readonly cniVersion: CniVersion;
  readonly disableGc: boolean;
  /** In the order of ADD. */
  readonly plugins: readonly PluginConf[];
}

export type ParsedConflist =
  | { readonly ok: true; readonly network: Network }
  | { readonly ok: false; readonly reason: string };

export interface ConfFile {
  /** File name without its directory. */
  readonly file: string;
  readonly text: string;
  /** For a list: the plugin files in the folder with the network's name, in order; see `pluginFolder`. */
  readonly plugins?: readonly { readonly file: string; readonly text: string }[];
}

export interface SkippedFile {
  readonly file: string;
  readonly reason: string;
}

export interface LoadedNetworks {
  /** Valid networks in the order of their file names. */
  readonly networks: readonly { readonly file: string; readonly network: Network }[];
  readonly skipped: readonly SkippedFile[];
}

const NETWORK_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/u;
// a plugin is found by its file name alone; the set is wider than any known plugin's name and has no path
// separator
const PLUGIN_TYPE = /^[A-Za-z0-9_][A-Za-z0-9_.+-]*$/u;
const NAME_CHARS = 255;

/** True when `version` is not older than `least`. */
export function atLeast(version: CniVersion, least: CniVersion): boolean {
  return CNI_VERSIONS.indexOf(version) >= CNI_VERSIONS.indexOf(least);
}

/** The text as a version, when troupe knows that version. */
export function knownVersion(text: string): CniVersion | undefined {
  return CNI_VERSIONS.find((version) => version === text);
}

/**
 * True for the names that are read: `*.conflist`, `*.conf`, `*.json`. Hidden files belong to editors and
 * config maps.
 */
export function isConfFile(file: string): boolean {
  return !file.startsWith('.') && /\.(?:conflist|conf|json)$/u.test(file);
}

/** True for a file that holds a network with a list of plugins. */
export function isList(file: string): boolean {
  return file.endsWith('.conflist');
}

/**
 * The folder next to a list, named after the network. Its `*.conf` files are plugins that are appended to the
 * chain, so that service meshes need not rewrite the network's own file (libcni 1.3). Undefined when the list
 * opts out (`loadOnlyInlinedPlugins` of the spec) or has no valid name.
 */
export function pluginFolder(text: string): string | undefined {
  const raw = parseObject(text);
  if (raw === undefined || isTrue(member(raw, 'loadOnlyInlinedPlugins'))) return undefined;
  const name = asString(member(raw, 'name')) ?? '';
  return isNetworkName(name) ? name : undefined;
}

/**
 * The networks of a directory's files, sorted by file name in code unit order as containerd and CRI-O do, and
 * the skipped files with their reasons. A second network with the same name is skipped, since the name is
 * part of IP leases and iptables chains.
 */
export function parseNetworks(files: readonly ConfFile[]): LoadedNetworks {
  const networks: { file: string; network: Network }[] = [];
  const skipped: SkippedFile[] = [];
  const names = new Map<string, string>();
  for (const { file, text, plugins } of files.toSorted((a, b) => (a.file < b.file ? -1 : 1))) {
    const parsed = isList(file) ? parseList(text, plugins) : parseSingle(text);
    if (!parsed.ok) {
      skipped.push({ file, reason: parsed.reason });
      continue;
    }
    const holder = names.get(parsed.network.name);
    if (holder !== undefined) {
      skipped.push({ file, reason: `network name ${parsed.network.name} is already used by ${holder}` });
      continue;
    }
    names.set(parsed.network.name, file);
    networks.push({ file, network: parsed.network });
  }
  return { networks, skipped };
}

/**
 * The network that pods join: the one with the configured name, or the first valid one when none is
 * configured.
 */
export function chooseNetwork(loaded: LoadedNetworks, wantedName = ''): Network | undefined {
  if (wantedName === '') return loaded.networks[0]?.network;
  return loaded.networks.find(({ network }) => network.name === wantedName)?.network;
}

/** Parses a `*.conflist`: a network with a list of plugins, followed by those of its folder. */
export function parseList(text: string, others: NonNullable<ConfFile['plugins']> = []): ParsedConflist {
  const raw = parseObject(text);
  if (raw === undefined) return no('not a JSON object');
  const listed = member(raw, 'plugins');
  const plugins = listed === undefined && others.length > 0 ? [] : asArray(listed);
  if (plugins === undefined) return no('no list "plugins"');
  // an explicit empty list is an error, whatever the folder holds, as in libcni
  if (listed !== undefined && plugins.length === 0) return no('the list "plugins" is empty');
  const joined: CniJsonObject[] = [];
  for (const other of others) {
    const plugin = parseObject(other.text);
    if (plugin === undefined) return no(`${other.file}: not a JSON object`);
    joined.push(plugin);
  }
  return build(raw, [...plugins, ...joined]);
}

/** Parses a `*.conf` or `*.json`: one plugin's configuration, which becomes a list of one. */
export function parseSingle(text: string): ParsedConflist {
  const raw = parseObject(text);
  if (raw === undefined) return no('not a JSON object');
  if (member(raw, 'plugins') !== undefined) return no('a list of plugins belongs in a *.conflist');
  return build(raw, [raw]);
}

function build(raw: CniJsonObject, pluginValues: readonly CniJson[]): ParsedConflist {
  const name = asString(member(raw, 'name')) ?? '';
  if (!isNetworkName(name)) {
    return no(
      `invalid network name ${JSON.stringify(name.slice(0, 64))}: use letters, digits, "_", "." and "-", a letter or digit first`,
    );
  }
  const version = chooseVersion(raw);
  if (typeof version !== 'string') return no(version.reason);
  if (pluginValues.length > networkLimits.pluginsPerChain) {
    return no(`more than ${networkLimits.pluginsPerChain} plugins`);
  }
  const plugins: PluginConf[] = [];
  for (const [index, value] of pluginValues.entries()) {
    const plugin = parsePlugin(value);
    if (typeof plugin === 'string') return no(`plugins[${index}]: ${plugin}`);
    plugins.push(plugin);
  }
  return {
    ok: true,
    network: {
      name,
      cniVersion: version,
      disableGc: isTrue(member(raw, 'disableGC')),
      plugins,
    },
  };
}

function parsePlugin(value: CniJson): PluginConf | string {
  const raw = asObject(value);
  if (raw === undefined) return 'not an object';
  const type = asString(member(raw, 'type')) ?? '';
  if (!isPluginType(type))
    return `type ${JSON.stringify(type.slice(0, 64))} is not the file name of a plugin`;
  // a plugin starts its delegate with our CNI_PATH and our privileges, so the delegate's name is checked the
  // same way (S50)
  for (const key of ['ipam', 'delegate']) {
    const delegate = asObject(member(raw, key));
    const delegateType = delegate === undefined ? undefined : member(delegate, 'type');
    if (delegateType === undefined || delegateType === '') continue;
    if (!isPluginType(asString(delegateType) ?? '')) return `${key}.type is not the file name of a plugin`;
  }
  const declared = member(raw, 'capabilities');
  const capabilities = declared === undefined || declared === null ? {} : asObject(declared);
  if (capabilities === undefined) return 'capabilities is not an object';
  return { type, capabilities: Object.keys(capabilities).filter((key) => capabilities[key] === true), raw };
}

function isNetworkName(name: string): boolean {
  return NETWORK_NAME.test(name) && name.length <= NAME_CHARS;
}

function isPluginType(type: string): boolean {
  return PLUGIN_TYPE.test(type) && !type.includes('..') && type.length <= NAME_CHARS;
}

// spec 1.1.0, "Version considerations": the highest version that both sides know; an absent one means 0.1.0
function chooseVersion(raw: CniJsonObject): CniVersion | { reason: string } {
  const own = member(raw, 'cniVersion') ?? '0.1.0';
  const more = member(raw, 'cniVersions') ?? [];
  const listed = asArray(more);
  if (typeof own !== 'string' || listed === undefined)
    return { reason: 'cniVersion is not a string, or cniVersions not a list' };
  const asked = [own === '' ? '0.1.0' : own, ...listed.map((item) => asString(item) ?? '')];
  const best = CNI_VERSIONS.findLast((version) => asked.includes(version));
  return (
    best ?? {
      reason: `cniVersion ${JSON.stringify(own.slice(0, 64))} is not one of ${CNI_VERSIONS.join(', ')}`,
    }
  );
}

// libcni accepts the string "true" too
function isTrue(value: CniJson | undefined): boolean {
  return value === true || (typeof value === 'string' && value.toLowerCase() === 'true');
}

function no(reason: string): ParsedConflist {
  return { ok: false, reason };
}
