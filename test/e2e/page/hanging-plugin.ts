// A CNI plugin that hangs for pods named so, before the real bridge plugin.
import { chmod, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultConfig } from '../../../src/daemon/config/config-schema.ts';

const pluginText = (real: string): string => `#!/bin/sh
case "$CNI_COMMAND $CNI_ARGS" in
  ADD*K8S_POD_NAME=checkout*) exec sleep 3600 ;;
esac
exec ${real} "$@"
`;

async function realBridge(): Promise<string> {
  for (const directory of defaultConfig.network.plugin_dirs) {
    const path = join(directory, 'bridge');
    if ((await stat(path).catch(() => undefined)) !== undefined) return path;
  }
  throw new Error('there is no bridge plugin on this machine');
}

/** Writes the plugin below the instance's directory. */
export async function writeHangingPlugin(directory: string): Promise<void> {
  const plugins = join(directory, 'plugins');
  await mkdir(plugins);
  await writeFile(join(plugins, 'bridge'), pluginText(await realBridge()));
  await chmod(join(plugins, 'bridge'), 0o755);
}

/** The line of the table `network` that finds it first. */
export function pluginDirs(directory: string): string {
  const directories = [join(directory, 'plugins'), ...defaultConfig.network.plugin_dirs];
  return `plugin_dirs = [${directories.map((path) => JSON.stringify(path)).join(', ')}]`;
}
