// A CNI plugin that hangs for pods named so, before the real bridge plugin.
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { defaultConfig } from '../../../src/daemon/config/config-schema.ts';

const pluginText = (real: string): string => `#!/bin/sh
case "$CNI_COMMAND $CNI_ARGS" in
  ADD*K8S_POD_NAME=checkout*) exec sleep 3600 ;;
esac
exec ${real} "$@"
`;

function realBridge(): string {
  const path = defaultConfig.network.plugin_dirs
    .map((directory) => join(directory, 'bridge'))
    .find((one) => existsSync(one));
  if (path === undefined) throw new Error('there is no bridge plugin on this machine');
  return path;
}

/** Writes the plugin below the instance's directory; before its start, since a plugin that was found is kept. */
export function writeHangingPlugin(directory: string): void {
  const plugins = join(directory, 'plugins');
  mkdirSync(plugins);
  writeFileSync(join(plugins, 'bridge'), pluginText(realBridge()));
  // the umask may take the bits of the mode away
  chmodSync(join(plugins, 'bridge'), 0o755);
}

/** The line of the table `network` that finds it first. */
export function pluginDirs(directory: string): string {
  const directories = [join(directory, 'plugins'), ...defaultConfig.network.plugin_dirs];
  return `plugin_dirs = [${directories.map((path) => JSON.stringify(path)).join(', ')}]`;
}
