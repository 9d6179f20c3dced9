/** Writes the blob of an artifact as a layer with one file. For worker threads; used in place of LayerStream. */
import { createHash } from 'node:crypto';
import { fail } from '../../../../base/fault.ts';
import { parseDigest } from '../../../../base/ids.ts';
import { fileLayerId } from '../../model/artifact.ts';
import type { TarEntry } from '../../../layers/tar-entry.ts';
import type { TarSink } from '../../../layers/tar-reader.ts';
import type { StreamLimits, StreamResult } from '../../../layers/unpack-stream.ts';

const FILE_MODE = 0o644;

export class FileStream {
  readonly #path: string;
  readonly #sink: TarSink;
  readonly #limits: Pick<StreamLimits, 'layerBytes'>;
  readonly #hash = createHash('sha256');
  #bytes = 0;
  #isOpen = false;

  /** @param path relative, without `.`, `..` and empty parts */
  constructor(sink: TarSink, path: string, limits: Pick<StreamLimits, 'layerBytes'>) {
    this.#sink = sink;
    this.#path = path;
    this.#limits = limits;
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#open();
    if (this.#bytes + chunk.length > this.#limits.layerBytes) {
      fail('exhausted', `write ${this.#path}: the file has more than ${this.#limits.layerBytes} bytes`, {
        retryable: false,
      });
    }
    this.#hash.update(chunk);
    this.#sink.data(chunk, this.#bytes);
    this.#bytes += chunk.length;
  }

  /** Ends the blob. */
  async end(): Promise<StreamResult> {
    this.#open();
    this.#sink.finish();
    const blob =
      parseDigest(`sha256:${this.#hash.digest('hex')}`) ??
      fail('bug', 'a computed sha256 does not parse as a digest');
    return { diffId: fileLayerId(this.#path, blob), tarBytes: this.#bytes };
  }

  destroy(): void {
    // the sink owns the file and closes it
  }

  #open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#sink.begin(entryOf(this.#path));
  }
}

/** The entry, owned by root and with mtime 0, so that the same blob gives the same file on every node. */
function entryOf(path: string): TarEntry {
  return {
    type: 'file',
    name: Buffer.from(path, 'utf8').toString('latin1'),
    linkName: '',
    mode: FILE_MODE,
    uid: 0,
    gid: 0,
    size: 0,
    sparse: false,
    mtimeNs: 0n,
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: [],
  };
}
