// A world whose network can be made to fail: the last plugin of its chain says what it was called for.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeWorld, type World } from './world.ts';

export interface FailingNetwork {
  readonly world: World;
  /** From now on ADD and DEL fail. */
  readonly break: () => void;
  readonly fix: () => void;
  /** How often the plugin was called for a command. */
  readonly calls: (command: string) => number;
}

/** What the plugin answers while it is broken. */
export const REFUSAL = 'not today';

const pluginText = (directory: string): string => `#!/bin/sh
cat > ${directory}/stdin.$$
echo "$CNI_COMMAND" >> ${directory}/calls
code=0
if [ "$CNI_COMMAND" = VERSION ]; then
  echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}'
elif [ -e ${directory}/broken ]; then
  echo '{"cniVersion":"1.0.0","code":11,"msg":"${REFUSAL}"}'
  code=1
elif [ "$CNI_COMMAND" = ADD ]; then
  sed 's/.*"prevResult"://; s/}$//' ${directory}/stdin.$$
fi
rm ${directory}/stdin.$$
exit $code
`;

export async function makeFailingNetwork(name: string): Promise<FailingNetwork> {
  const world = await makeWorld({
    name,
    networkSettings: (directory) => {
      mkdirSync(join(directory, 'plugins'));
      writeFileSync(join(directory, 'plugins/late'), pluginText(directory), { mode: 0o755 });
      return [`plugin_dirs = ["${directory}/plugins", "/opt/cni/bin", "/usr/lib/cni"]`];
    },
  });
  const at = (...names: string[]): string => join(world.instance.directory, ...names);
  writeFileSync(at('calls'), '');
  await world.instance.terminate();
  const file = at('cni/10-test.conflist');
  const network = JSON.parse(readFileSync(file, 'utf8')) as { plugins: object[] };
  network.plugins.push({ type: 'late' });
  writeFileSync(file, JSON.stringify(network));
  await world.instance.start();
  return {
    world,
    break: () => writeFileSync(at('broken'), ''),
    fix: () => rmSync(at('broken')),
    calls: (command) =>
      readFileSync(at('calls'), 'utf8')
        .split('\n')
        .filter((one) => one === command).length,
  };
}
