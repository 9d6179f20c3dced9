// A busybox image of two layers with one file of each kind, so that a pull has some dozens of calls.
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { busyboxEntries } from '../../../scripts/support/busybox-image.ts';
import { type Image, imageOf, layerOf } from '../../../scripts/support/image.ts';
import { staticBusybox } from '../../support/tools/debian.ts';

/** `repository:tag` in the world's registry. */
export const SMALL = 'test/small:1';

/** Its applets and directories. */
const KEPT: readonly string[] = [
  'bin',
  'bin/busybox',
  'bin/sh',
  'bin/sleep',
  'etc',
  'etc/passwd',
  'proc',
  'sys',
  'dev',
];

export const smallImage = (): Image =>
  imageOf({ Cmd: ['sh'] }, [
    layerOf(busyboxEntries(staticBusybox()).filter(({ path }) => KEPT.includes(path))),
    layerOf([
      { type: 'directory', path: 'more', mode: 0o750 },
      { type: 'file', path: 'more/text', mode: 0o644, content: 'more' },
      { type: 'symlink', path: 'more/link', target: 'text' },
    ]),
  ]);

const unpacked = (root: string): readonly string[] =>
  smallImage().layers.map(({ diffId }) => join(root, 'layers', diffId.slice('sha256:'.length), 'diff'));

/** How many of the image's layers are unpacked below a root. */
export const presentLayers = (root: string): number =>
  unpacked(root).filter((layer) => existsSync(layer)).length;

/** What is wrong with the unpacked layers below a root; '' when nothing is. */
export function wrongLayers(root: string): string {
  const [lower = '', upper = ''] = unpacked(root);
  const program = join(lower, 'bin/busybox');
  if (!existsSync(program) || !readFileSync(program).equals(readFileSync(staticBusybox())))
    return 'the program of the first layer is not whole';
  const text = join(upper, 'more/text');
  if (!existsSync(text) || readFileSync(text, 'utf8') !== 'more')
    return 'the file of the second layer is not whole';
  return readlinkSync(join(upper, 'more/link')) === 'text'
    ? ''
    : 'the link of the second layer leads elsewhere';
}
