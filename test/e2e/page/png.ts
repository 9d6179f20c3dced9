// A PNG with at most 256 colours and compressed as well as possible: pictures of the papers stay small.
import { crc32, deflateSync, inflateSync } from 'node:zlib';

/** Bytes of the signature, and of a chunk without its data: length, type, CRC. */
const [SIGNATURE, FRAME] = [8, 12];
const COLOURS = 256;
/** Of these, colours that are far from the frequent ones, such as that of a dot: pixels that they have at least. */
const [FAR_COLOURS, FAR_PIXELS] = [16, 16];

/** The same picture with its most frequent colours; every other one becomes the nearest of them. */
export function smallerPng(png: Buffer): Buffer {
  const { width, height, channels, pixels } = pixelsOf(png);
  const counts = new Map<number, number>();
  const colours = new Uint32Array(width * height);
  for (let at = 0; at < colours.length; at += 1) {
    const colour = pixels.readUIntBE(at * channels, 3);
    colours[at] = colour;
    counts.set(colour, (counts.get(colour) ?? 0) + 1);
  }
  const palette = paletteOf(counts);
  const index = new Map([...counts.keys()].map((colour) => [colour, nearest(palette, colour)] as const));
  const rows = Buffer.alloc((width + 1) * height);
  for (let at = 0; at < colours.length; at += 1)
    rows[Math.floor(at / width) * (width + 1) + 1 + (at % width)] = index.get(colours[at] ?? 0) ?? 0;
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  // 8 bits, indexed colours
  head.set([8, 3, 0, 0, 0], 8);
  const table = Buffer.from(palette.flatMap((colour) => [colour >> 16, (colour >> 8) & 255, colour & 255]));
  return Buffer.concat([
    png.subarray(0, SIGNATURE),
    chunk('IHDR', head),
    chunk('PLTE', table),
    chunk('IDAT', deflateSync(rows, { level: 9, memLevel: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function paletteOf(counts: ReadonlyMap<number, number>): readonly number[] {
  const byCount = [...counts].toSorted(([, one], [, other]) => other - one);
  const palette = byCount.slice(0, COLOURS - FAR_COLOURS).map(([colour]) => colour);
  const rest = byCount.slice(COLOURS - FAR_COLOURS).filter(([, count]) => count >= FAR_PIXELS);
  const lost = ([colour]: readonly [number, number]): number =>
    farness(colour, palette[nearest(palette, colour)] ?? 0);
  while (rest.length > 0 && palette.length < COLOURS) {
    const worst = rest.reduce((one, other) => (lost(other) > lost(one) ? other : one));
    palette.push(...rest.splice(rest.indexOf(worst), 1).map(([colour]) => colour));
  }
  return palette;
}

function nearest(palette: readonly number[], colour: number): number {
  let best = 0;
  for (let at = 0; at < palette.length; at += 1)
    if (farness(colour, palette[at] ?? 0) < farness(colour, palette[best] ?? 0)) best = at;
  return best;
}

/** Square of the distance of two colours. */
function farness(one: number, other: number): number {
  return [16, 8, 0].reduce((sum, shift) => sum + (((one >> shift) & 255) - ((other >> shift) & 255)) ** 2, 0);
}

function chunk(type: string, data: Buffer): Buffer {
  const typed = Buffer.concat([Buffer.from(type), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(typed));
  return Buffer.concat([length, typed, sum]);
}

interface Pixels {
  readonly width: number;
  readonly height: number;
  /** 3 or 4 bytes a pixel. */
  readonly channels: number;
  readonly pixels: Buffer;
}

function pixelsOf(png: Buffer): Pixels {
  const data: Buffer[] = [];
  for (let at = SIGNATURE; at < png.length; at += FRAME + png.readUInt32BE(at))
    if (png.toString('latin1', at + 4, at + 8) === 'IDAT')
      data.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
  const channels = png[25] === 6 ? 4 : 3;
  return {
    width,
    height,
    channels,
    pixels: unfiltered(inflateSync(Buffer.concat(data)), width * channels, channels),
  };
}

/** Each row begins with the type of its filter, which refers to the pixels on the left and above (PNG, section 9). */
function unfiltered(rows: Buffer, stride: number, channels: number): Buffer {
  const out = Buffer.alloc((rows.length / (stride + 1)) * stride);
  for (let at = 0; at < out.length; at += 1) {
    const row = Math.floor(at / stride);
    const left = at % stride < channels ? 0 : (out[at - channels] ?? 0);
    const above = row === 0 ? 0 : (out[at - stride] ?? 0);
    const corner = row === 0 || at % stride < channels ? 0 : (out[at - stride - channels] ?? 0);
    const raw = rows[at + row + 1] ?? 0;
    out[at] = raw + predicted(rows[row * (stride + 1)] ?? 0, left, above, corner);
  }
  return out;
}

function predicted(filter: number, left: number, above: number, corner: number): number {
  if (filter === 0) return 0;
  if (filter === 1) return left;
  if (filter === 2) return above;
  if (filter === 3) return Math.floor((left + above) / 2);
  const estimate = left + above - corner;
  const [a, b, c] = [left, above, corner].map((one) => Math.abs(estimate - one));
  if ((a ?? 0) <= (b ?? 0) && (a ?? 0) <= (c ?? 0)) return left;
  return (b ?? 0) <= (c ?? 0) ? above : corner;
}
