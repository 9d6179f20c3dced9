/** What the tests of unpack and storage share: a store in a scratch directory, and trees as comparable text. */
import { createHash } from 'node:crypto';
import {
  closeSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe } from 'vitest';
import type { EffectContext } from '../../../src/ports/effect.ts';
import type { Digest } from '../../../src/base/ids.ts';
import { silentLog } from '../../../src/base/log.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { getXattrAt, listXattrsAt } from '../../../src/host/files/files-at.ts';
import { parseMountInfo } from '../../../src/host/mounts/mountinfo.ts';
import { unmount } from '../../../src/host/mounts/mounts.ts';
import { realRandom } from '../../../src/host/clock/random.ts';
import { LayerStore } from '../../../src/oci/images/store/layer-store.ts';
import type { LayerStoreOptions } from '../../../src/oci/images/store/layer-store-options.ts';
import { digestOf } from '../../unit/oci/layers/tar-builder.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { fxOf } from '../../support/fx.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';

const isRoot = process.getuid?.() === 0;

/** A describe that needs root (devices, owners, mounts); without it the reason is printed. */
export function describeAsRoot(name: string, body: () => void): void {
  if (!isRoot) process.stdout.write(`skipped: ${name}: needs root\n`);
  unless(describe, notRoot())(name, body);
}

/** A directory that is gone after the file's tests, with everything mounted below it. */
export function scratch(purpose: string): string {
  const directory = mkdtempSync(join(tmpdir(), `troupe-${purpose}-`));
  afterAll(async () => {
    const points = parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8')).map(
      (mount) => mount.mountPoint,
    );
    for (const point of points.filter((path) => path.startsWith(`${directory}/`)).reverse())
      await unmount(point, { lazy: true });
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

export const clock = realClock();

export function openStore(root: string, options: Partial<LayerStoreOptions> = {}): LayerStore {
  const store = new LayerStore({ root, clock, random: realRandom(), log: silentLog, ...options });
  afterAll(async () => {
    await store.settled();
    store.close();
  });
  return store;
}

export function context(signal: AbortSignal = new AbortController().signal): EffectContext {
  return fxOf(EVENT_MS, signal);
}

/** Brings a blob into the store in pieces; the digest of its tar is what the caller says. */
export async function put(
  store: LayerStore,
  blob: Uint8Array,
  diffId: Digest = digestOf(blob),
  step = 100_000,
): Promise<string> {
  await store.ensure(
    { diffId, blobDigest: digestOf(blob) },
    { signal: context().signal, onBytes: () => undefined },
    async (sink) => {
      for (let at = 0; at < blob.length; at += step) await sink.write(blob.subarray(at, at + step));
    },
  );
  return join(store.paths.layers, diffId.slice('sha256:'.length), 'diff');
}

/** Everything that a tree says, one line per entry, by path. Names are shown as bytes (latin1). */
export function treeOf(root: string, options: { readonly times?: boolean } = {}): string[] {
  const lines: string[] = [];
  const linked = new Map<bigint, string>();
  const walk = (dir: Buffer, prefix: string): void => {
    const fd = openSync(dir, 'r');
    try {
      const names = readdirSync(dir, { encoding: 'buffer' }).toSorted(Buffer.compare);
      for (const name of names) {
        const path = Buffer.concat([dir, Buffer.from('/'), name]);
        const shown = `${prefix}${name.toString('latin1')}`;
        lines.push(lineOf(fd, path, name, shown, linked, options.times !== false));
        if (lstatSync(path).isDirectory()) walk(path, `${shown}/`);
      }
    } finally {
      closeSync(fd);
    }
  };
  walk(Buffer.from(root), '');
  return lines;
}

function lineOf(
  fd: number,
  path: Buffer,
  name: Buffer,
  shown: string,
  linked: Map<bigint, string>,
  times: boolean,
): string {
  const stats = lstatSync(path, { bigint: true });
  const first = linked.get(stats.ino);
  if (stats.nlink > 1n && !stats.isDirectory()) linked.set(stats.ino, first ?? shown);
  const parts = [shown, stats.mode.toString(8), `${stats.uid}:${stats.gid}`];
  if (times) parts.push(String(stats.mtimeNs));
  if (stats.isFile())
    parts.push(
      String(stats.size),
      createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 16),
    );
  if (stats.isSymbolicLink()) parts.push(`-> ${readlinkSync(path, 'latin1')}`);
  if (stats.isBlockDevice() || stats.isCharacterDevice()) parts.push(`device ${stats.rdev}`);
  if (first !== undefined) parts.push(`same as ${first}`);
  for (const xattr of listXattrsAt(fd, name).toSorted()) {
    parts.push(`${xattr}=${Buffer.from(getXattrAt(fd, name, xattr) ?? []).toString('hex')}`);
  }
  return parts.join(' ');
}
