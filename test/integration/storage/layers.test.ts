import { existsSync, lstatSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { FaultError } from '../../../src/base/fault.ts';
import { storageLimits } from '../../../src/oci/bounds.ts';
import type { LayerSink } from '../../../src/oci/images/store/layer-intake.ts';
import type { LayerStore } from '../../../src/oci/images/store/layer-store.ts';
import { createStorageDriver } from '../../../src/oci/images/store/driver.ts';
import { run } from '../../support/run.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { archive, digestOf, entry } from '../../unit/oci/layers/tar-builder.ts';
import { clock, context, describeAsRoot, openStore, put, scratch } from '../unpack/support.ts';

/** A promise and its handle. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

const layerOf = (name: string, body: string | Buffer = name): Buffer => archive(entry({ name, body }));

describeAsRoot('the layer store', () => {
  const root = scratch('layers');
  let store: LayerStore;
  let count = 0;
  beforeAll(() => {
    store = openStore(join(root, 'store'));
  });
  const fresh = (): LayerStore => openStore(join(root, `store-${(count += 1)}`));

  test('S19: the store’s directories are closed to others, whatever their mode was', async () => {
    const open = fresh();
    mkdirSync(join(open.paths.root, 'layers'), { recursive: true, mode: 0o777 });
    await put(open, layerOf('f'));
    for (const path of [open.paths.layers, open.paths.partial, open.paths.trash, open.paths.containers]) {
      expect(lstatSync(path).mode & 0o7777, path).toBe(0o700);
    }
    expect(lstatSync(join(open.paths.layers, digestOf(layerOf('f')).slice(7))).mode & 0o7777).toBe(0o700);
  });

  test('many callers of one layer share one download, and each gets its progress', async () => {
    const blob = layerOf('shared', Buffer.alloc(50_000, 1));
    const diffId = digestOf(blob);
    const started = gate();
    const go = gate();
    let downloads = 0;
    const heard = [0, 0, 0];
    const calls = heard.map((_, at) =>
      store.ensure(
        { diffId, blobDigest: diffId },
        { signal: context().signal, onBytes: (bytes) => void (heard[at] = bytes) },
        async (sink) => {
          downloads += 1;
          started.open();
          await go.opened;
          await sink.write(blob);
        },
      ),
    );
    await started.opened;
    go.open();
    await Promise.all(calls);
    expect(downloads).toBe(1);
    expect(heard).toEqual([blob.length, blob.length, blob.length]);
    // there already: nobody asks for it again
    await store.ensure(
      { diffId, blobDigest: diffId },
      { signal: context().signal, onBytes: () => undefined },
      () => Promise.reject(new Error('asked')),
    );
  });

  test('S90 a trickling download for one namespace delays neither the same layer nor the turns of another', async () => {
    const time = new HandClock();
    const own = openStore(join(root, 'trickle'), { clock: time, transfers: () => 2 });
    const blob = layerOf('shared');
    const diffId = digestOf(blob);
    const begun: string[] = [];
    const never = gate();
    const trickles = async (sink: LayerSink, signal: AbortSignal): Promise<void> => {
      begun.push('trickle');
      if (begun.length === 2) never.open();
      await sink.write(Buffer.alloc(64));
      await new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      });
    };
    const from = (host: string, namespace: string) => ({ host, namespace, credential: '' });
    const passenger = { signal: context().signal, onBytes: () => undefined };
    const leaver = new AbortController();
    // both turns are held, one of them for the layer that the other namespace wants, too
    const shared = own.ensure(
      { party: from('evil', 'tenant'), diffId, blobDigest: digestOf(Buffer.from('x')) },
      passenger,
      trickles,
    );
    const mere = own.ensure(
      {
        party: from('evil', 'tenant'),
        diffId: digestOf(Buffer.from('y')),
        blobDigest: digestOf(Buffer.from('y')),
      },
      { ...passenger, signal: leaver.signal },
      trickles,
    );
    await never.opened;
    const wanted = own.ensure(
      { party: from('good', 'other'), diffId, blobDigest: diffId },
      { ...passenger },
      async (sink) => {
        begun.push('good');
        await sink.write(blob);
      },
    );
    await time.advance(storageLimits.joinedCheckMs);
    await expect
      .poll(() => time.advance(storageLimits.transferCheckMs).then(() => begun), { interval: 10 })
      .toContain('good');
    expect((await wanted).blobDigest).toBe(diffId);
    // what the first one wanted is there, whoever brought it
    expect((await shared).diffId).toBe(diffId);
    leaver.abort(new Error('gone'));
    await expect(mere).rejects.toThrow();
    expect(readdirSync(own.paths.partial)).toEqual([]);
  });

  test('concurrent downloads are bounded in total and for each source, so that a slow one leaves room for others', async () => {
    const few = openStore(join(root, 'few'), { transfers: () => 3, transfersPerSource: () => 2 });
    const go = gate();
    const three = gate();
    const under: string[] = [];
    let most = 0;
    const take = (source: string, name: string): Promise<unknown> => {
      const blob = layerOf(name);
      const diffId = digestOf(blob);
      return few.ensure(
        { party: { host: source, namespace: '', credential: '' }, diffId, blobDigest: diffId },
        { signal: context().signal, onBytes: () => undefined },
        async (sink) => {
          under.push(source);
          most = Math.max(most, under.length);
          if (under.length === 3) three.open();
          await go.opened;
          await sink.write(blob);
          under.splice(under.indexOf(source), 1);
        },
      );
    };
    const all = ['slow', 'slow', 'slow', 'slow', 'other', 'other'].map((source, at) =>
      take(source, `bounded-${at}`),
    );
    await three.opened;
    expect(under.toSorted()).toEqual(['other', 'slow', 'slow']);
    go.open();
    await Promise.all(all);
    expect(most).toBe(3);
  });

  test('a caller that gives up does not cancel the others', async () => {
    const blob = layerOf('one-leaves');
    const diffId = digestOf(blob);
    const started = gate();
    const go = gate();
    const leaver = new AbortController();
    const download = async (sink: LayerSink): Promise<void> => {
      started.open();
      await go.opened;
      await sink.write(blob);
    };
    const first = store.ensure(
      { diffId, blobDigest: diffId },
      { signal: leaver.signal, onBytes: () => undefined },
      download,
    );
    await started.opened;
    const second = store.ensure(
      { diffId, blobDigest: diffId },
      { signal: context().signal, onBytes: () => undefined },
      download,
    );
    leaver.abort(new Error('gone'));
    await expect(first).rejects.toThrow('gone');
    go.open();
    await second;
    expect(await store.record(diffId)).toBeDefined();
  });

  test('F07: a download cancelled by its last caller leaves nothing', async () => {
    const half = fresh();
    const blob = layerOf('half', Buffer.alloc(2_000_000, 3));
    const diffId = digestOf(blob);
    const leaver = new AbortController();
    const fetched = half.ensure(
      { diffId, blobDigest: diffId },
      { signal: leaver.signal, onBytes: () => undefined },
      async (sink, signal) => {
        await sink.write(blob.subarray(0, 1_000_000));
        leaver.abort(new Error('gone'));
        signal.throwIfAborted();
        throw new Error('the signal of the download did not fire');
      },
    );
    await expect(fetched).rejects.toThrow('gone');
    expect(readdirSync(half.paths.partial)).toEqual([]);
    expect(readdirSync(half.paths.layers)).toEqual([]);
    // and the next one succeeds
    await put(half, blob);
    expect(await half.record(diffId)).toBeDefined();
  });

  test('a failed download leaves nothing; a caller that joined it tries again by itself', async () => {
    const own = fresh();
    const blob = layerOf('second-try');
    const diffId = digestOf(blob);
    const started = gate();
    const go = gate();
    const passenger = { signal: context().signal, onBytes: () => undefined };
    const first = own.ensure({ diffId, blobDigest: diffId }, passenger, async (sink) => {
      await sink.write(blob.subarray(0, 100));
      started.open();
      await go.opened;
      throw new Error('registry gone');
    });
    await started.opened;
    const second = own.ensure({ diffId, blobDigest: diffId }, { ...passenger }, (sink) => sink.write(blob));
    go.open();
    await expect(first).rejects.toThrow('registry gone');
    await second;
    expect(readdirSync(own.paths.partial)).toEqual([]);
  });

  test('S60: a wrong layer from a mirror is deleted, and the next endpoint starts again', async () => {
    const own = fresh();
    const blob = layerOf('true');
    const diffId = digestOf(blob);
    await own.ensure(
      { diffId, blobDigest: diffId },
      { signal: context().signal, onBytes: () => undefined },
      async (sink) => {
        await sink.write(Buffer.alloc(4096, 0x41));
        // more of it after the unpacker has seen that it is no tar
        for (let at = 0; at < 100; at += 1) await sink.write(Buffer.alloc(100_000, 0x42));
        await sink.restart();
        await sink.write(blob);
      },
    );
    expect(readdirSync(own.paths.partial)).toEqual([]);
    expect(await own.record(diffId)).toMatchObject({ diffId, entries: 1 });
  });

  test('F27: a layer with a missing or invalid record counts as absent; a fetch repairs it', async () => {
    const own = fresh();
    const blob = layerOf('fixed');
    const diffId = digestOf(blob);
    const dir = join(await put(own, blob), '..');
    for (const spoil of [
      () => {
        rmSync(join(dir, 'layer.json'));
      },
      () => {
        writeFileSync(join(dir, 'layer.json'), '{"version":1,"diffId":"sha256:');
      },
      () => {
        rmSync(join(dir, 'diff'), { recursive: true });
      },
    ]) {
      spoil();
      expect(await own.record(diffId)).toBeUndefined();
      expect(await own.list()).toEqual([]);
      await put(own, blob);
      expect(await own.record(diffId)).toBeDefined();
    }
  });

  test('F07: what a killed process left is deleted: partial layers, trash, layers without a record; whole ones stay', async () => {
    const own = fresh();
    const driver = createStorageDriver({ store: own, clock });
    const keep = layerOf('keep');
    const broken = layerOf('broken');
    await put(own, keep);
    rmSync(join(await put(own, broken), '..', 'layer.json'));
    mkdirSync(join(own.paths.partial, 'dead', 'diff'), { recursive: true });
    writeFileSync(join(own.paths.partial, 'dead', 'diff', 'f'), 'x');
    mkdirSync(join(own.paths.trash, 'old', 'a', 'b'), { recursive: true });
    await driver.removePartials(context());
    await own.settled();
    expect(readdirSync(own.paths.partial)).toEqual([]);
    expect(readdirSync(own.paths.trash)).toEqual([]);
    expect(readdirSync(own.paths.layers)).toEqual([digestOf(keep).slice(7)]);
    expect((await driver.observe(context())).layers).toEqual([digestOf(keep)]);
  });

  test('partial layers of running pulls are left alone', async () => {
    const own = fresh();
    const blob = layerOf('live');
    const diffId = digestOf(blob);
    await own.ensure(
      { diffId, blobDigest: diffId },
      { signal: context().signal, onBytes: () => undefined },
      async (sink) => {
        await sink.write(blob.subarray(0, 600));
        await own.removePartials();
        await sink.write(blob.subarray(600));
      },
    );
    expect(await own.record(diffId)).toBeDefined();
  });

  test('removed layers are gone at once, and removing them again is no error', async () => {
    const own = fresh();
    const driver = createStorageDriver({ store: own, clock });
    const blob = layerOf('removed');
    await put(own, blob);
    await driver.removeLayer({ diffId: digestOf(blob) }, context());
    await driver.removeLayer({ diffId: digestOf(blob) }, context());
    expect(readdirSync(own.paths.layers)).toEqual([]);
    await own.settled();
    expect(readdirSync(own.paths.trash)).toEqual([]);
  });

  test('usage matches du to 1 %', async () => {
    const own = fresh();
    const driver = createStorageDriver({ store: own, clock, measureAgeMs: 0 });
    for (let at = 0; at < 5; at += 1) {
      const files = Array.from({ length: 40 }, (_, file) =>
        entry({ name: `d${file % 7}/f${file}`, body: Buffer.alloc(file * 997, at) }),
      );
      await put(own, archive(...files, entry({ name: 'hard', flag: '1', linkName: 'd1/f1' })));
    }
    const { images } = await driver.usage(context());
    const du = await run(['du', '-s', '--block-size=1', own.paths.layers]);
    const inodes = await run(['du', '-s', '--inodes', own.paths.layers]);
    expect(Math.abs(Number(images.usedBytes) / Number(du.stdout.split('\t')[0]) - 1)).toBeLessThan(0.01);
    expect(Math.abs(Number(images.inodesUsed) / Number(inodes.stdout.split('\t')[0]) - 1)).toBeLessThan(0.01);
    expect(existsSync(images.mountpoint)).toBe(true);
  });

  test('more layers than workers and transfers are fetched', async () => {
    const own = fresh();
    const blobs = Array.from({ length: 20 }, (_, at) => layerOf(`many-${at}`, Buffer.alloc(300_000, at)));
    await Promise.all(blobs.map((blob) => put(own, blob, digestOf(blob), 10_000)));
    expect((await own.list()).map((record) => record.diffId).toSorted()).toEqual(
      blobs.map(digestOf).toSorted(),
    );
    expect(own.workers).toBeLessThanOrEqual(storageLimits.workers);
  });

  test('idle workers end', async () => {
    const idle = new HandClock();
    const own = openStore(join(root, 'idle'), { clock: idle, workerIdleMs: 1234 });
    await put(own, layerOf('idle'));
    expect(own.workers).toBe(1);
    idle.fire(1234);
    expect(own.workers).toBe(0);
    await put(own, layerOf('again'));
    expect(own.workers).toBe(1);
  });

  test('errors name the attempt, the layer and the reason', async () => {
    const bad = archive(entry({ name: 'a/../b' }));
    const error: unknown = await put(store, bad).catch((thrown: unknown) => thrown);
    if (!(error instanceof FaultError)) throw error;
    expect(error.fault.subject).toBe(digestOf(bad));
    expect(error.message).toBe(
      `unpack layer ${digestOf(bad)}: entry "a/../b": read tar: the name "a/../b" contains ..`,
    );
  });
});
