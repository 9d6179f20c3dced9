import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { run } from '../../support/run.ts';
import { archive, digestOf, entry } from '../../unit/oci/layers/tar-builder.ts';
import { describeAsRoot, openStore, put, scratch, treeOf } from '../unpack/support.ts';
import { unless, lacking } from '../../support/skips/unless.ts';

const program = join(import.meta.dirname, 'unpack-once.ts');
const strace = '/usr/bin/strace';
const hasStrace = existsSync(strace);
if (!hasStrace) process.stdout.write('skipped: crashes of the layer store: needs strace\n');

describeAsRoot('a layer and the death of its process', () => {
  const root = scratch('crash');
  const tar = archive(
    ...Array.from({ length: 6 }, (_, at) => [
      entry({ name: `d${at}/`, flag: '5', mode: 0o755 }),
      // a mode that a file is not created with
      entry({ name: `d${at}/f`, body: `body ${at}`, mode: 0o4755 }),
    ]).flat(),
    entry({ name: '.wh.gone' }),
    entry({ name: 'link', flag: '2', linkName: 'd1/f' }),
  );
  const diffId = digestOf(tar);
  const file = join(root, 'layer.tar');

  async function traced(
    store: string,
    ...args: string[]
  ): Promise<{ readonly lines: string[]; readonly done: boolean }> {
    writeFileSync(file, tar);
    const log = join(root, 'trace');
    const ended = await run([
      strace,
      '-f',
      '-qq',
      '-o',
      log,
      ...args,
      process.execPath,
      program,
      store,
      file,
      diffId,
    ]);
    return { lines: readFileSync(log, 'utf8').split('\n'), done: ended.stdout.includes('done') };
  }

  unless(test, lacking(strace))(
    'F20: a layer is synced before its rename, and the directory after it',
    async () => {
      const { lines, done } = await traced(join(root, 'order'), '-e', 'trace=syncfs,rename,fsync');
      expect(done).toBe(true);
      const calls = lines.flatMap(
        (line) => /^\d+ +(syncfs|rename|fsync)\((.*)\) += 0/u.exec(line)?.slice(1, 3).join(' ') ?? [],
      );
      const at = calls.findIndex(
        (call) => call.startsWith('rename') && call.includes(`/layers/${diffId.slice(7)}`),
      );
      expect(calls[at - 1]).toMatch(/^syncfs/u);
      expect(calls[at + 1]).toMatch(/^fsync/u);
    },
  );

  // each call in the order in which the unpacker makes them; the process dies as a thread enters its N-th of a kind
  const points: readonly (readonly [call: string, count: number])[] = [
    ...[1, 2, 6].map((count) => ['mkdirat', count] as const),
    ...[1, 3, 6].map((count) => ['pwrite64', count] as const),
    ['symlinkat', 1],
    ['mknodat', 1],
    ...[1, 4].map((count) => ['fchmod', count] as const),
    ...[1, 4].map((count) => ['utimensat', count] as const),
    ['syncfs', 1],
    ['rename', 1],
    ['fsync', 1],
  ];

  unless(test, lacking(strace))(
    'F07: after a kill at any call the layer is whole or absent, and the next pull succeeds',
    async () => {
      let died = 0;
      const whole = treeOf(await put(openStore(join(root, 'reference')), tar), { times: false });
      for (const [call, count] of points) {
        const path = join(root, `${call}-${count}`);
        const { done } = await traced(
          path,
          '-e',
          `trace=${call}`,
          '-e',
          `inject=${call}:signal=KILL:when=${count}`,
        );
        const point = `${call} ${count}`;
        if (!done) died += 1;
        const store = openStore(path);
        const record = await store.record(diffId);
        if (record !== undefined)
          expect(treeOf(join(path, 'layers', diffId.slice(7), 'diff'), { times: false }), point).toEqual(
            whole,
          );
        await store.removePartials();
        expect(readdirSync(store.paths.partial), point).toEqual([]);
        expect(readdirSync(store.paths.trash), point).toEqual([]);
        expect(readdirSync(store.paths.layers), point).toHaveLength(record === undefined ? 0 : 1);
        expect(treeOf(await put(store, tar), { times: false }), point).toEqual(whole);
      }
      expect(died).toBe(points.length);
    },
  );
});
