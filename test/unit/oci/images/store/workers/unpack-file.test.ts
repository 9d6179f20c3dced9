// An artifact's blob as a layer of one file: the same key as the manifest gives it, whatever the pieces.
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Digest } from '../../../../../../src/base/ids.ts';
import { fileLayerId } from '../../../../../../src/oci/images/model/artifact.ts';
import type { TarEntry } from '../../../../../../src/oci/layers/tar-entry.ts';
import { FileStream } from '../../../../../../src/oci/images/store/workers/unpack-file.ts';

describe('FileStream', () => {
  it.each([[[]], [['abc']], [['a', 'bc']]])('reads the pieces %j', async (pieces) => {
    const entries: TarEntry[] = [];
    const written: string[] = [];
    let finished = 0;
    const sink = {
      begin: (entry: TarEntry): void => void entries.push(entry),
      data: (bytes: Uint8Array, position: number): void =>
        void written.push(`${position}:${Buffer.from(bytes).toString()}`),
      finish: (): void => void (finished += 1),
    };
    const stream = new FileStream(sink, 'conf/ä', { layerBytes: 3 });
    for (const piece of pieces) await stream.write(Buffer.from(piece));
    const digest = `sha256:${createHash('sha256').update(pieces.join('')).digest('hex')}` as Digest;
    expect(await stream.end()).toEqual({
      diffId: fileLayerId('conf/ä', digest),
      tarBytes: pieces.join('').length,
    });
    // names are bytes
    expect(entries).toMatchObject([
      { type: 'file', name: 'conf/\u00c3\u00a4', mode: 0o644, uid: 0, gid: 0, mtimeNs: 0n },
    ]);
    expect(finished).toBe(1);
    expect(written.length).toBe(pieces.length);
  });

  it('S59 ends at its bound', async () => {
    const sink = { begin: () => undefined, data: () => undefined, finish: () => undefined };
    const stream = new FileStream(sink, 'f', { layerBytes: 3 });
    await stream.write(Buffer.from('abc'));
    await expect(stream.write(Buffer.from('d'))).rejects.toThrow(/more than 3 bytes/u);
  });
});
