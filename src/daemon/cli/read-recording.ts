/** Reads a recording of the flight recorder: a support bundle, a segment, or a directory of segments. */
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { fail } from '../../base/fault.ts';
import { namesOf } from '../../host/files/names-of.ts';
import { readEntries } from '../../introspection/flight/read.ts';
import { isSegment } from '../../introspection/flight/writer.ts';
import { isZeroBlock, parseHeader, TAR_BLOCK } from '../../oci/layers/tar-header.ts';
import { cliLimits } from '../bounds.ts';

/** Entries in the order in which they were recorded. */
export async function readRecording(path: string): Promise<ReturnType<typeof readEntries>> {
  if ((await stat(path)).isDirectory()) {
    const names = (await namesOf(path)).filter(isSegment).toSorted();
    const texts = await Promise.all(names.map((name) => bytesOf(join(path, name))));
    return readEntries(texts.map((bytes) => bytes.toString('utf8')));
  }
  const bytes = await bytesOf(path);
  const isCompressed = bytes[0] === 0x1f && bytes[1] === 0x8b;
  return readEntries(isCompressed ? segmentsOf(bundleFiles(bytes)) : [bytes.toString('utf8')]);
}

async function bytesOf(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    if (size > cliLimits.bundleBytes)
      fail('exhausted', `read ${path}: ${size} bytes, more than ${cliLimits.bundleBytes}`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/** The files of a support bundle by name. */
export function bundleFiles(compressed: Uint8Array): ReadonlyMap<string, string> {
  const tar = gunzipSync(compressed, { maxOutputLength: cliLimits.bundleBytes });
  const files = new Map<string, string>();
  for (let at = 0; at + TAR_BLOCK <= tar.length;) {
    const header = tar.subarray(at, at + TAR_BLOCK);
    if (isZeroBlock(header)) break;
    const { name, size } = parseHeader(header);
    // a bundle comes from anybody: one that led back would be read for ever
    if (size < 0) fail('invalidRequest', `read the support bundle: ${name} has a negative size`);
    const from = at + TAR_BLOCK;
    files.set(name, tar.toString('utf8', from, from + size));
    at = from + Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
  }
  return files;
}

function segmentsOf(files: ReadonlyMap<string, string>): readonly string[] {
  return [...files]
    .filter(([name]) => isSegment(name.split('/').at(-1) ?? ''))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, text]) => text);
}
