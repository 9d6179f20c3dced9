// An instance whose daemon sees its directory at a place that every machine has: root and state name no directory of
// the machine that made them, and can be used on another one.
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { imageOf, type Image, layerOf } from '../../../scripts/support/image.ts';
import { run } from '../../support/run.ts';
import { staticBusybox } from '../../support/tools/debian.ts';
import { makeWorld, type World } from '../support/world.ts';
import { SMALL, smallImage } from '../kills/small-image.ts';

/** Where the daemon sees the instance's directory, in a mount namespace of its own. */
const PLACE = '/mnt';
/** Of which the daemon's own configuration and the network's name the directory. */
const CONFIG = 'troupe.toml';

/** An image that has a layer in common with `SMALL`. */
export const SECOND = 'test/second:1';
/** The programs of both images, in that layer: busybox by several names. Archives are without them. */
export const PROGRAMS = 'diff/bin';

function secondImage(): Image {
  const common = smallImage().layers.slice(0, 1);
  return imageOf({ Cmd: ['sh'] }, [
    ...common,
    layerOf([{ type: 'file', path: 'second', mode: 0o600, content: 'second' }]),
  ]);
}

/** Puts this machine's programs into the layers of an unpacked archive. */
export function addPrograms(root: string): void {
  const layers = readdirSync(join(root, 'layers'), { withFileTypes: true });
  for (const layer of layers.filter((entry) => entry.isDirectory())) {
    const directory = join(root, 'layers', layer.name, PROGRAMS);
    if (!existsSync(directory)) continue;
    copyFileSync(staticBusybox(), join(directory, 'busybox'));
    chmodSync(join(directory, 'busybox'), 0o755);
    for (const name of ['sh', 'sleep']) symlinkSync('busybox', join(directory, name));
  }
}

/** A path in the instance's directory as the daemon has it. */
export const placed = (...names: readonly string[]): string => join(PLACE, ...names);

/** The command that comes before the daemon's own. */
function inPlace(directory: string): readonly [string, ...string[]] {
  const networks = readdirSync(join(directory, 'cni')).map((name) => join('cni', name));
  for (const name of [CONFIG, ...networks]) {
    const path = join(directory, name);
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll(directory, PLACE));
  }
  const options = [
    ['config', CONFIG],
    ['root', 'root'],
    ['state', 'state'],
    ['socket', 'cri.sock'],
  ].map(([key = '', name = '']) => `--${key} ${placed(name)}`);
  const script = `mount --bind "$1" ${PLACE} && shift && exec "$@" ${options.join(' ')}`;
  return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'place', directory];
}

/** A world in that place. `fill` puts files into its directory before the daemon starts. */
export async function makePlacedWorld(
  name: string,
  fill: (directory: string) => void = () => undefined,
): Promise<World> {
  return await makeWorld({
    name,
    images: new Map([
      [SMALL, smallImage()],
      [SECOND, secondImage()],
    ]),
    logLevel: 'info',
    before: (directory) => {
      fill(directory);
      return inPlace(directory);
    },
  });
}

/** Runs a command of the program that the world's daemon runs, in the same place; the daemon's own options follow. */
export async function inWorld({ instance }: World, command: string): ReturnType<typeof run> {
  const at = instance.argv.indexOf('serve');
  return await run([...instance.argv.slice(0, at), command, ...instance.argv.slice(at + 1)]);
}
