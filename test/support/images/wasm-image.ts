// An image whose program is a WebAssembly module (WASI preview 1): it writes one line and exits with a code.
import { type Image, imageOf, layerOf } from '../../../scripts/support/image.ts';

/** An unsigned number in LEB128. */
function leb(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...leb(Math.floor(value / 128))];
}

const text = (words: string): number[] => [...leb(words.length), ...Buffer.from(words, 'latin1')];
const vector = (items: readonly (readonly number[])[]): number[] => [...leb(items.length), ...items.flat()];
const section = (id: number, content: readonly number[]): number[] => [
  id,
  ...leb(content.length),
  ...content,
];

const I32 = 0x7f;
const WASI = 'wasi_snapshot_preview1';
/** Where the list of one buffer lies in memory, the number of bytes written, and the line. */
const [IOVEC, WRITTEN, LINE] = [0, 8, 16] as const;

/** `i32.const`, for numbers below 64: a signed LEB128 of one byte. */
const constant = (value: number): number[] => [0x41, value];

/**
 * The module, by the core specification's binary format (sections 1 type, 2 import, 3 function, 5 memory, 7 export,
 * 10 code, 11 data).
 * @param line latin-1, at most 63 bytes
 * @param exitCode at most 63
 */
function wasiModule(line: string, exitCode: number): Buffer {
  const functionType = (parameters: readonly number[], results: readonly number[]): number[] => [
    0x60,
    ...vector(parameters.map((one) => [one])),
    ...vector(results.map((one) => [one])),
  ];
  const [fdWrite, procExit, start] = [0, 1, 2] as const;
  const body = [
    // no locals
    0x00,
    // fd_write(1, IOVEC, 1, WRITTEN), whose result is dropped
    ...[1, IOVEC, 1, WRITTEN].flatMap(constant),
    ...[0x10, fdWrite, 0x1a],
    ...constant(exitCode),
    ...[0x10, procExit, 0x0b],
  ];
  const word = (value: number): number[] => [value, 0, 0, 0];
  const data = (offset: number, bytes: readonly number[]): number[] => [
    0x00,
    ...constant(offset),
    0x0b,
    ...leb(bytes.length),
    ...bytes,
  ];
  return Buffer.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(
      1,
      vector([functionType([I32, I32, I32, I32], [I32]), functionType([I32], []), functionType([], [])]),
    ),
    ...section(
      2,
      vector([
        [...text(WASI), ...text('fd_write'), 0x00, 0],
        [...text(WASI), ...text('proc_exit'), 0x00, 1],
      ]),
    ),
    ...section(3, vector([[2]])),
    ...section(5, vector([[0x00, 1]])),
    ...section(
      7,
      vector([
        [...text('memory'), 0x02, 0],
        [...text('_start'), 0x00, start],
      ]),
    ),
    ...section(10, vector([[...leb(body.length), ...body]])),
    ...section(
      11,
      vector([
        data(IOVEC, [...word(LINE), ...word(line.length)]),
        data(LINE, [...Buffer.from(line, 'latin1')]),
      ]),
    ),
  ]);
}

/** The image: nothing but the module, which is its entrypoint. */
export function wasmImage(line: string, exitCode: number): Image {
  return imageOf({ Entrypoint: ['/main.wasm'] }, [
    layerOf([{ type: 'file', path: 'main.wasm', mode: 0o755, content: wasiModule(line, exitCode) }]),
  ]);
}
