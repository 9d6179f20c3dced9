/** Plugins that troupe starts itself: finds and launches them. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Socket } from 'node:net';
import { toFault } from '../base/fault.ts';
import { nriLimits } from './bounds.ts';
import type { Log } from '../base/log.ts';
import { closeFd, makeSocketPair } from '../host/io/descriptors.ts';
import { missingAs } from '../host/ffi/errno.ts';
import { readFileInRoot } from '../host/files/files.ts';
import { namesOf } from '../host/files/names-of.ts';
import { spawnProcess } from '../host/process/process.ts';
import type { Child } from '../host/process/process.ts';
import { isIndex, isPluginName } from './plugin.ts';
import type { PluginName } from './plugin.ts';

export interface FoundPlugin extends PluginName {
  readonly path: string;
  /** Empty when it has none. */
  readonly config: string;
}

/** The file descriptor of a launched plugin's connection; the plugin gets the number in NRI_PLUGIN_SOCKET. */
const PLUGIN_FD = 3;

/**
 * The executable files `NN-name` of the directory, sorted by name; empty when the directory does not exist.
 * Other files are logged and skipped: one stray file must not disable the node's plugins.
 */
export async function findPlugins(
  directory: string,
  configDirectory: string,
  log: Log,
): Promise<readonly FoundPlugin[]> {
  const names = (await namesOf(directory)).toSorted((a, b) => (a < b ? -1 : 1));
  if (names.length > nriLimits.directoryEntries) {
    log.warn(
      { directory },
      `list nri plugins: reading only the first ${nriLimits.directoryEntries} of ${names.length} entries`,
    );
  }
  const found: FoundPlugin[] = [];
  for (const entry of names.slice(0, nriLimits.directoryEntries)) {
    const path = join(directory, entry);
    const info = await stat(path).catch(() => undefined);
    if (info?.isFile() !== true || (info.mode & 0o111) === 0) continue;
    const { name, index } = split(entry);
    if (!isIndex(index) || !isPluginName(name)) {
      log.warn({ path }, 'skipped nri plugin: file name is not NN-name');
      continue;
    }
    if (found.length >= nriLimits.plugins) {
      log.warn({ path }, `skipped nri plugin: ${nriLimits.plugins} plugins found already`);
      continue;
    }
    try {
      found.push({ name, index, path, config: await configOf(configDirectory, { name, index }) });
    } catch (error) {
      // without its configuration a plugin could do something unintended
      log.warn(
        { path, reason: toFault(error).message },
        'skipped nri plugin: could not read its configuration',
      );
    }
  }
  return found;
}

function split(entry: string): PluginName {
  const at = entry.indexOf('-');
  return { index: entry.slice(0, Math.max(at, 0)), name: entry.slice(at + 1) };
}

/** The content of `NN-name.conf`, or else of `name.conf`, or else an empty text. */
async function configOf(directory: string, { name, index }: PluginName): Promise<string> {
  for (const file of [`${index}-${name}.conf`, `${name}.conf`]) {
    const bytes = await missingAs(
      readFileInRoot(directory, file, { bytesMax: nriLimits.configBytes }),
      undefined,
    );
    if (bytes !== undefined) return Buffer.from(bytes).toString('utf8');
  }
  return '';
}

export interface LaunchedPlugin {
  readonly socket: Socket;
  readonly child: Child;
}

/** Starts the plugin with its end of the connection; returns our end. */
export async function launchPlugin({ name, index, path }: FoundPlugin): Promise<LaunchedPlugin> {
  const { ours, theirs } = makeSocketPair();
  try {
    const child = await spawnProcess({
      argv: [path],
      env: { NRI_PLUGIN_NAME: name, NRI_PLUGIN_IDX: index, NRI_PLUGIN_SOCKET: String(PLUGIN_FD) },
      extraFds: [{ childFd: PLUGIN_FD, fd: theirs }],
    });
    return { socket: new Socket({ fd: ours, readable: true, writable: true }), child };
  } catch (error) {
    closeFd(ours);
    throw error;
  } finally {
    closeFd(theirs);
  }
}
