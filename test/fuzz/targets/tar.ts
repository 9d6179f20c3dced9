/**
 * Tar archives and compressed layers in this process, without a file system: what is read does not depend on how it is
 * cut.
 */
import { entryTarget, plainPath } from '../../../src/oci/layers/unpack-path.ts';
import { LayerStream } from '../../../src/oci/layers/unpack-stream.ts';
import { ZstdFrames } from '../../../src/oci/layers/unpack-zstd.ts';
import type { TarEntry } from '../../../src/oci/layers/tar-entry.ts';
import type { TarSink } from '../../../src/oci/layers/tar-reader.ts';
import { TarReader } from '../../../src/oci/layers/tar-reader.ts';
import { FaultError } from '../../../src/base/fault.ts';
import { LayerGenerator } from '../../support/layers/generate.ts';
import { randomStream } from '../../sim/random.ts';
import { violated } from '../target.ts';
import { changedArchive } from './archives.ts';
import { compressed } from './compress.ts';
import { learnerOf, type Kind } from './kinds.ts';

const BLOCK = 512;
const LIMITS = { entries: 500, layerBytes: 4 * 1024 * 1024 };

/** Checks each entry and its bytes as they come, and adds them up to a text. */
class Seen implements TarSink {
  readonly lines: string[] = [];
  #entry: TarEntry | undefined;
  #bytes = 0;
  #end = 0;

  begin(entry: TarEntry): void {
    if (this.#entry !== undefined) violated('an entry begins inside another');
    for (const number of [
      entry.mode,
      entry.size,
      entry.deviceMajor,
      entry.deviceMinor,
      entry.uid,
      entry.gid,
    ]) {
      if (!Number.isSafeInteger(number) || number < 0) violated(`a number of an entry is ${number}`);
    }
    if (entry.mode > 0o7777) violated(`mode ${entry.mode.toString(8)}`);
    const place = placeFor(entry.name);
    if (place !== undefined && /(?:^|\/)\.\.?(?:\/|$)|\/\/|^\/|\0/u.test(place))
      violated(`a place outside of the root: ${place}`);
    this.#entry = entry;
    this.#bytes = 0;
    this.#end = 0;
    const { mtimeNs, xattrs, ...rest } = entry;
    this.lines.push(
      JSON.stringify([rest, String(mtimeNs), xattrs.map(({ name, value }) => [name, value.toString('hex')])]),
    );
  }

  data(bytes: Uint8Array, position: number): void {
    const size = this.#entry?.size ?? violated('bytes of no entry');
    if (position < this.#end) violated('bytes that go back in their file');
    this.#end = position + bytes.length;
    this.#bytes += bytes.length;
    if (this.#end > size) violated(`bytes up to ${this.#end} of a file of ${size}`);
  }

  finish(): void {
    this.lines.push(`${this.#bytes} ${this.#end}`);
    this.#entry = undefined;
  }
}

/** Parent and name together; undefined for what is refused or no path. */
function placeFor(name: string): string | undefined {
  try {
    plainPath(name);
    const place = entryTarget(name);
    return place.kind === 'entry' || place.kind === 'whiteout'
      ? `${place.parent === '' ? '' : `${place.parent}/`}${place.name}`
      : undefined;
  } catch (error) {
    if (error instanceof FaultError) return undefined;
    throw error;
  }
}

function linesOf(bytes: Buffer, step: number): readonly string[] {
  const seen = new Seen();
  const reader = new TarReader(seen, LIMITS.entries);
  try {
    for (let at = 0; at < bytes.length; at += step) reader.push(bytes.subarray(at, at + step));
    reader.end();
  } catch (error) {
    if (!(error instanceof FaultError)) throw error;
    return [...seen.lines, error.fault.message];
  }
  return seen.lines;
}

/** The sums of all headers that stand where one would stand made right. */
function withSums(input: Buffer): Buffer {
  const bytes = Buffer.from(input);
  for (let at = 0; at + BLOCK <= bytes.length; at += BLOCK) {
    const header = bytes.subarray(at, at + BLOCK);
    if (header.toString('latin1', 257, 262) !== 'ustar') continue;
    header.fill(0x20, 148, 156);
    let sum = 0;
    for (const byte of header) sum += byte;
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  }
  return bytes;
}

const archives = Array.from(
  { length: 6 },
  (_, seed) => new LayerGenerator({ seed: 900 + seed, steps: 4 }).generate().tar,
);
const hostile = Array.from({ length: 12 }, (_, seed) =>
  changedArchive(archives[seed % archives.length] ?? Buffer.alloc(0), randomStream(seed, 'fuzz/tar'), {
    canaries: ['/outside'],
  }),
).filter(({ length }) => length < 32_768);
const packed = Array.from({ length: 6 }, (_, seed) =>
  compressed(archives[seed] ?? Buffer.alloc(0), randomStream(seed, 'fuzz/packed')),
);

const kinds: readonly Kind[] = [
  {
    name: 'tar',
    seeds: [...archives, ...hostile],
    repair: withSums,
    run: (input) => {
      const whole = linesOf(input, Math.max(1, input.length));
      const pieces = linesOf(input, 1 + (input.length % 700));
      if (whole.join('\n') !== pieces.join('\n'))
        violated(`in pieces it is another archive: ${whole.at(-1)} and ${pieces.at(-1)}`);
      return !(whole.at(-1) ?? '').startsWith('read tar');
    },
  },
  {
    name: 'layer',
    seeds: packed,
    run: async (input) => {
      const stream = new LayerStream(new Seen(), LIMITS);
      try {
        for (let at = 0; at < input.length; at += 4096) await stream.write(input.subarray(at, at + 4096));
        const { tarBytes } = await stream.end();
        if (tarBytes > LIMITS.layerBytes) violated(`a layer of ${tarBytes} bytes`);
        return true;
      } finally {
        stream.destroy();
      }
    },
  },
  {
    name: 'zstd',
    seeds: [
      Buffer.from('28b52ffd0458110000612e0a00', 'hex'),
      Buffer.from('502a4d18030000006162630a28b52ffd2000010000', 'hex'),
    ],
    run: (input) => {
      const cut = (step: number): string => {
        const frames = new ZstdFrames();
        const runs: Uint8Array[] = [];
        for (let at = 0; at < input.length; at += step)
          runs.push(...frames.split(input.subarray(at, at + step)).map((run) => Uint8Array.from(run)));
        return `${frames.isBetween} ${Buffer.concat(runs).toString('hex')}`;
      };
      if (cut(Math.max(1, input.length)) !== cut(1)) violated('in pieces they are other frames');
      return true;
    },
  },
];

export const tarLearner = learnerOf(
  kinds,
  ['outside', 'exhausted', 'unsupported'],
  [
    'path=',
    'linkpath=',
    'SCHILY.xattr.user.a=',
    'GNU.sparse.major=1\n',
    'GNU.sparse.map=',
    'size=',
    'mtime=',
  ],
);
