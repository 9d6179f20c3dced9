// The images that the load pulls and that a check compares files with. Both guests make the same from nothing.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { busyboxLayer } from '../../../scripts/support/busybox-image.ts';
import { type Image, imageOf, type Layer, layerOf } from '../../../scripts/support/image.ts';
import type { TarEntry } from '../../../scripts/support/tar.ts';
import { randomStream } from '../../sim/random.ts';
import { staticBusybox } from '../../support/tools/debian.ts';

/** Images beside the base image, each with a subset of the layers. */
export const IMAGES = 6;
const LAYERS = 7;
const FILES_PER_LAYER = 30;
/** Bytes of the largest file of a layer. */
const FILE_BYTES = 96 * 1024;
/** The registry's name in references: its port differs from boot to boot. */
export const REGISTRY = 'power.test';
export const BASE = `${REGISTRY}/base:1`;
export const nameOf = (image: number): string => `${REGISTRY}/image-${image}:1`;

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export interface PowerImage {
  readonly name: string;
  readonly image: Image;
  /** Lines of `sha256sum` in the image's root, sorted. */
  readonly sums: readonly string[];
}

interface MadeLayer {
  readonly layer: Layer;
  readonly sums: readonly string[];
}

/** Pseudo-random text: bytes of a hash chain would take longer to make than to pull. */
function bytesOf(layer: number, file: number): Buffer {
  const random = randomStream(layer, `file ${file}`);
  const bytes = Buffer.alloc(1 + random.int(file % 3 === 0 ? FILE_BYTES : 2048));
  for (let at = 0; at + 4 <= bytes.length; at += 4)
    bytes.writeUInt32LE(Math.floor(random.next() * 2 ** 32), at);
  return bytes;
}

function layerNumber(index: number): MadeLayer {
  const entries: TarEntry[] = [
    { type: 'directory', path: 'files', mode: 0o755 },
    { type: 'directory', path: `files/${index}`, mode: 0o755 },
  ];
  const sums: string[] = [];
  for (let file = 0; file < FILES_PER_LAYER; file += 1) {
    const content = bytesOf(index, file);
    const path = `files/${index}/${file}`;
    entries.push({ type: 'file', path, mode: 0o644, content });
    sums.push(`${sha256(content)}  ${path}`);
  }
  return { layer: layerOf(entries, index % 2 === 0 ? 'gzip' : 'none'), sums };
}

/** What an image's container runs: prints `sums`, then the word that says that it came to the end. */
export const LIST_FILES = [
  'sh',
  '-c',
  'cd / && find bin/busybox files -type f 2>/dev/null | sort | xargs sha256sum; echo whole',
];

/** The base image first. */
export function powerImages(): readonly PowerImage[] {
  const program = staticBusybox();
  const base = busyboxLayer(program);
  const baseSums = [`${sha256(readFileSync(program))}  bin/busybox`];
  const layers = Array.from({ length: LAYERS }, (_, index) => layerNumber(index));
  const image = (name: string, used: readonly MadeLayer[]): PowerImage => ({
    name,
    image: imageOf({ Cmd: ['sh'] }, [base, ...used.map(({ layer }) => layer)], { 'power.name': name }),
    sums: [...baseSums, ...used.flatMap(({ sums }) => sums)].sort(),
  });
  const used = (index: number): MadeLayer[] =>
    [0, 1, 3].map((step) => layers[(index + step) % LAYERS]).filter((one) => one !== undefined);
  return [
    image(BASE, []),
    ...Array.from({ length: IMAGES }, (_, index) => image(nameOf(index), used(index))),
  ];
}
