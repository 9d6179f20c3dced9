/**
 * Layers: whatever their bytes are, nothing outside of the layer's root changes (S14, S18, S58), what they cost is
 * bounded (S59), and how the bytes are cut into pieces changes nothing.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Digest } from '../../../src/base/ids.ts';
import { silentLog } from '../../../src/base/log.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { getXattrAt, listXattrsAt } from '../../../src/host/files/files-at.ts';
import { realRandom } from '../../../src/host/clock/random.ts';
import { LayerApplier } from '../../../src/oci/layers/unpack-apply.ts';
import { LayerStream } from '../../../src/oci/layers/unpack-stream.ts';
import { LayerStore } from '../../../src/oci/images/store/layer-store.ts';
import { removePath } from '../../../src/oci/trees/remove-tree.ts';
import { LayerGenerator } from '../../support/layers/generate.ts';
import { mutateBytes } from '../mutate.ts';
import type { Stage, Target, Verdict } from '../target.ts';
import { expectRefusal, stageDirectory, violated } from '../target.ts';
import { changedArchive, hostileArchive } from './archives.ts';
import { compressed } from './compress.ts';

/** Small enough that a bomb ends at once. */
const LIMITS = { entries: 2000, layerBytes: 32 * 1024 * 1024 };
/** One case of so many goes through the store and its worker threads. */
const STORE_EVERY = 16;
/** Files above this are compared by their size alone: a sparse one may claim 16 TiB. */
const HASHED_BYTES = 256 * 1024;
const CANARY = join(stageDirectory, 'outside');
const CANARIES = [CANARY, `${CANARY}/dir`, `${CANARY}/file`, `${CANARY}/link`];
const ALLOWED_XATTR =
  /^(?:user\.(?!overlay\.).+|security\.capability|system\.posix_acl_(?:access|default)|trusted\.overlay\.opaque)$/u;

export const unpackTarget: Target = {
  name: 'unpack',
  rssMiB: 400,
  needsRoot: true,
  seeds: () =>
    Array.from({ length: 8 }, (_, seed) => ({
      name: `layer-${seed}`,
      bytes: new LayerGenerator({ seed: 900 + seed, steps: 8 }).generate().tar,
    })),
  make: (random, corpus) => {
    const outside = { canaries: CANARIES };
    const draw = random.int(10);
    if (draw < 5) return compressed(hostileArchive(random, outside), random);
    const seed = random.pick(corpus);
    return draw < 9
      ? compressed(changedArchive(seed, random, outside), random)
      : mutateBytes(compressed(seed, random), random);
  },
  open: async () => new UnpackStage(),
};

class UnpackStage implements Stage {
  readonly #store: LayerStore;
  readonly #before: readonly string[];
  #cases = 0;

  constructor() {
    mkdirSync(join(CANARY, 'dir/sub'), { recursive: true });
    writeFileSync(join(CANARY, 'file'), 'alive');
    chmodSync(join(CANARY, 'file'), 0o640);
    symlinkSync('file', join(CANARY, 'link'));
    this.#store = new LayerStore({
      root: join(stageDirectory, 'store'),
      clock: realClock(),
      random: realRandom(),
      log: silentLog,
      maxLayerBytes: LIMITS.layerBytes,
      maxLayerEntries: LIMITS.entries,
    });
    this.#before = this.#outside();
  }

  async run(blob: Buffer): Promise<Verdict> {
    this.#cases += 1;
    const whole = await this.#direct(blob, blob.length);
    // single bytes for small ones only: each piece of a compressed one is a hop through libuv's pool
    const pieces = await this.#direct(blob, (blob.length < 2048 ? 1 : 16) + ((this.#cases * 397) % 1500));
    // which of two faults is met first may depend on how much the decompressor has been given
    if (whole[0] !== pieces[0] || (whole[0] !== 'refused' && whole.join('\n') !== pieces.join('\n')))
      violated(`in pieces it is another layer: ${differenceOf(whole, pieces)}`);
    if (this.#cases % STORE_EVERY === 0) await this.#throughStore(blob, whole);
    this.#checkOutside();
    return whole[0] === 'refused' ? 'refused' : 'accepted';
  }

  async close(): Promise<void> {
    await this.#store.settled();
    this.#store.close();
  }

  /** What comes of it in this thread: the tree, or `refused` with the reason. */
  async #direct(blob: Buffer, step: number): Promise<readonly string[]> {
    const root = join(stageDirectory, 'layer');
    mkdirSync(root, { mode: 0o755 });
    const fd = openSync(root, 'r');
    const applier = new LayerApplier(fd);
    const stream = new LayerStream(applier, LIMITS);
    try {
      for (let at = 0; at < blob.length; at += step) await stream.write(blob.subarray(at, at + step));
      const { tarBytes, diffId } = await stream.end();
      const applied = applier.complete();
      return [
        `${tarBytes} ${diffId} ${applied.entries} ${applied.rootOpaque} ${applied.xattrsDropped}`,
        ...treeBelow(root),
      ];
    } catch (error) {
      expectRefusal(error, ['outside', 'exhausted', 'unsupported']);
      return ['refused'];
    } finally {
      stream.destroy();
      applier.close();
      closeSync(fd);
      removePath(root);
    }
  }

  async #throughStore(blob: Buffer, direct: readonly string[]): Promise<void> {
    const diffId = (/sha256:[0-9a-f]{64}/u.exec(direct[0] ?? '')?.[0] ??
      `sha256:${createHash('sha256').update(blob).digest('hex')}`) as Digest;
    const { signal } = new AbortController();
    try {
      await this.#store.ensure({ diffId, blobDigest: diffId }, { signal, onBytes: () => undefined }, (sink) =>
        sink.write(blob),
      );
      if (direct[0] === 'refused') violated('the store takes what the unpacker refuses');
      await this.#store.remove(diffId);
      await this.#store.settled();
    } catch (error) {
      expectRefusal(error, ['outside', 'exhausted', 'unsupported']);
      if (direct[0] !== 'refused') throw error;
    }
    for (const part of ['partial', 'trash', 'layers']) {
      const left = readdirSync(join(stageDirectory, 'store', part));
      if (left.length > 0) violated(`${part} still holds ${left.join()}`);
    }
  }

  #outside(): readonly string[] {
    return ['', 'dir', 'dir/sub', 'file', 'link'].map((name) => {
      const path = join(CANARY, name);
      const { ino, mode, uid, gid, nlink, ctimeNs, size } = lstatSync(path, { bigint: true });
      return `${name} ${ino} ${mode} ${uid} ${gid} ${nlink} ${ctimeNs} ${size}`;
    });
  }

  #checkOutside(): void {
    if (this.#outside().join() !== this.#before.join())
      violated(`the canary has changed: ${differenceOf(this.#before, this.#outside())}`);
    const stray = readdirSync(stageDirectory).filter((name) => name !== 'outside' && name !== 'store');
    if (stray.length > 0) violated(`beside the layer's root there is ${stray.join()}`);
  }
}

function differenceOf(one: readonly string[], other: readonly string[]): string {
  const at = one.findIndex((line, index) => line !== other[index]);
  return `${JSON.stringify(one[at] ?? 'nothing')} and ${JSON.stringify(other[at] ?? one.length < other.length)}`.slice(
    0,
    600,
  );
}

/** A line for each entry, without times (those of implied parents differ) and without entering what is not ours. */
function treeBelow(root: string): string[] {
  const lines: string[] = [];
  const walk = (directory: Buffer, depth: number): void => {
    const fd = openSync(directory, 'r');
    try {
      for (const name of readdirSync(directory, { encoding: 'buffer' }).toSorted(Buffer.compare)) {
        const path = Buffer.concat([directory, Buffer.from('/'), name]);
        const stats = lstatSync(path);
        lines.push(
          `${path.subarray(root.length).toString('latin1')} ${stats.mode.toString(8)} ${stats.uid}:${stats.gid} ${stats.rdev} ${stats.nlink} ${contentOf(path, stats)} ${xattrsOf(fd, name)}`,
        );
        if (stats.isDirectory() && depth < 400) walk(path, depth + 1);
      }
    } finally {
      closeSync(fd);
    }
  };
  walk(Buffer.from(root), 0);
  return lines;
}

function contentOf(
  path: Buffer,
  stats: { isFile(): boolean; isSymbolicLink(): boolean; size: number },
): string {
  if (stats.isSymbolicLink()) return readlinkSync(path, 'latin1');
  if (!stats.isFile()) return '';
  return stats.size > HASHED_BYTES
    ? String(stats.size)
    : createHash('sha256').update(readFileSync(path)).digest('hex');
}

function xattrsOf(fd: number, name: Buffer): string {
  const xattrs = listXattrsAt(fd, name).toSorted();
  const wrong = xattrs.filter((xattr) => !ALLOWED_XATTR.test(xattr));
  if (wrong.length > 0) violated(`an xattr that no image may set: ${wrong.join()}`);
  return xattrs
    .map((xattr) => `${xattr}=${Buffer.from(getXattrAt(fd, name, xattr) ?? []).toString('hex')}`)
    .join();
}
