// A thread of the floor of pulls: inflates a whole layer at once, since that is the fastest that Node's zlib can, and
// writes what is in it with as few calls as there can be.
import { createHash } from 'node:crypto';
import { closeSync, linkSync, mkdirSync, openSync, symlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import type { FloorLayer } from './images-content.ts';

/** One layer to be inflated and written. */
export interface FloorJob extends FloorLayer {
  readonly directory: string;
  readonly hasDigests: boolean;
}

const BLOCK = 512;

function inflate({ blob, compression, tarBytes, hasDigests }: FloorJob): Buffer {
  const bytes = Buffer.from(blob);
  // one more: zlib asks for room once more when the buffer is full
  const options = { chunkSize: tarBytes + 1 };
  const tar = compression === 'gzip' ? gunzipSync(bytes, options) : zstdDecompressSync(bytes, options);
  if (hasDigests) for (const whole of [bytes, tar]) createHash('sha256').update(whole).digest();
  return tar;
}

/** ustar with the paths of PAX headers: what `makeContent` writes. */
function extract(tar: Buffer, directory: string): void {
  const text = (from: number, length: number): string => {
    const end = tar.indexOf(0, from);
    return tar.toString('utf8', from, end === -1 ? from + length : Math.min(end, from + length));
  };
  let long: Record<string, string> = {};
  for (let at = 0; at < tar.length && tar[at] !== 0;) {
    const size = Number.parseInt(tar.toString('latin1', at + 124, at + 135), 8);
    const flag = tar.toString('latin1', at + 156, at + 157);
    const body = at + BLOCK;
    if (flag === 'x') {
      const records = tar.toString('utf8', body, body + size).matchAll(/\d+ (path|linkpath)=([^\n]*)\n/gu);
      long = Object.fromEntries([...records].map(([, key, value]) => [key, value]));
    } else {
      const prefix = text(at + 345, 155);
      const name = long['path'] ?? `${prefix}${prefix === '' ? '' : '/'}${text(at, 100)}`;
      const path = join(directory, name);
      const link = long['linkpath'] ?? text(at + 157, 100);
      if (flag === '5') mkdirSync(path);
      else if (flag === '2') symlinkSync(link, path);
      else if (flag === '1') linkSync(join(directory, link), path);
      else {
        const fd = openSync(path, 'wx');
        for (let done = 0; done < size;) done += writeSync(fd, tar, body + done, size - done);
        closeSync(fd);
      }
      long = {};
    }
    at = body + Math.ceil(size / BLOCK) * BLOCK;
  }
}

parentPort?.on('message', (job: FloorJob) => {
  extract(inflate(job), job.directory);
  parentPort?.postMessage('done');
});
parentPort?.postMessage('ready');
