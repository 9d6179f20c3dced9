// What a checkpoint that failed, or a daemon that was killed meanwhile, leaves of a request with several containers.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CheckpointInput } from '../../../../../src/ports/checkpoint.ts';
import { partialOf } from '../../../../../src/oci/runtime/checkpoint/archive.ts';
import type { ReadFacts } from '../../../../../src/oci/runtime/checkpoint/space.ts';
import { faultOf } from '../../../../support/fault-of.ts';
import { fxOf } from '../../../../support/fx.ts';
import { checkpointBench } from './bench.ts';
import type { CheckpointBench } from './bench.ts';

const IDS = ['a', 'b', 'c', 'd', 'e', 'f'].map((digit) => digit.repeat(64));

describe('F33 F89 an aborted checkpoint of a pod', () => {
  let directory = '';
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-given-up-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const bench = (readFacts?: ReadFacts): CheckpointBench => checkpointBench(directory, { readFacts });

  it('is undone once after a kill of the daemon, without the directories of its containers', async () => {
    const { driver, lines, works, layout } = bench();
    const archives = IDS.map((id) => join(directory, `${id}.tar`));
    for (const [at, id] of IDS.entries()) {
      const archive = archives[at] ?? '';
      writeFileSync(partialOf(archive), '');
      const work = join(layout.checkpointsDir, id);
      mkdirSync(work, { recursive: true });
      const note = { version: 1, id, handler: 'gone', archive, together: archives };
      writeFileSync(join(work, 'note.json'), JSON.stringify(note));
    }
    await driver.open();
    expect(lines).toEqual([]);
    expect(works()).toEqual([]);
    expect(archives.filter((archive) => existsSync(partialOf(archive)))).toEqual([]);
  });

  it('deletes each archive separately; one that it cannot delete keeps its note for the next daemon', async () => {
    const { driver, lines, runtime, works, layout } = bench();
    const places = ['gone', 'there'].map((name) => join(directory, name));
    for (const place of places) mkdirSync(place);
    // the directory of the first archive is away when the archives are to be dropped
    runtime(`*pause*) mv ${places[0]} ${places[0]}.away; exit 1 ;; *) exit 1 ;;`);
    const containers = places.map((place, at) => ({
      id: IDS[at],
      handler: 'fake',
      archive: join(place, 'a.tar'),
    }));
    const input: unknown = { attempted: 'checkpoint', containers };
    const fx = fxOf();
    expect((await faultOf(driver.checkpoint(input as CheckpointInput, fx))).message).toMatch(
      /^checkpoint: fake pause: exit code 1/u,
    );
    expect(lines).toContain('remove archive of checkpoint failed');
    expect(readdirSync(join(directory, 'there'))).toEqual([]);
    expect(works()).toEqual([IDS[0]]);
    expect(readdirSync(join(layout.checkpointsDir, IDS[0] ?? ''))).toEqual(['note.json']);
  });

  it('before it tries to make its archive keeps no note: the next one of the container begins', async () => {
    const { driver, works } = bench();
    const controller = new AbortController();
    const note = ({ on }: { readonly on: string }): void => {
      if (on.includes('make the archive')) controller.abort();
    };
    const fx = { ...fxOf(), signal: controller.signal, note };
    const containers = [{ id: IDS[0], handler: 'fake', archive: join(directory, 'a.tar') }];
    const input: unknown = { attempted: 'checkpoint', containers };
    expect(await faultOf(driver.checkpoint(input as CheckpointInput, fx))).toMatchObject({
      kind: 'cancelled',
    });
    expect(works()).toEqual([]);
    expect((await faultOf(driver.checkpoint(input as CheckpointInput, fxOf()))).message).toMatch(
      /^checkpoint: fake pause: exit code 1/u,
    );
  });

  it('says that nothing is frozen before it removes its archives, when it is stopped before the freeze', async () => {
    const { driver } = bench();
    const controller = new AbortController();
    const seen: string[] = [];
    const note = ({ on }: { readonly on: string }): void => {
      if (on.includes('make the archive') && on.includes('b.tar')) controller.abort();
      if (on.includes('remove the archive')) seen.push('remove');
    };
    const containers = ['a', 'b'].map((name, index) => ({
      id: IDS[index],
      handler: 'fake',
      archive: join(directory, `${name}.tar`),
    }));
    const onThawed = (): void => void seen.push('thawed');
    const input: unknown = { attempted: 'checkpoint', containers, onThawed };
    const fx = { ...fxOf(), signal: controller.signal, note };
    expect(await faultOf(driver.checkpoint(input as CheckpointInput, fx))).toMatchObject({
      kind: 'cancelled',
    });
    expect(seen).toEqual(['thawed', 'remove']);
  });

  describe('and could not be undone', () => {
    const [id = ''] = IDS;
    const begin = (stage: CheckpointBench, earlier: string): Promise<{ readonly message: string }> => {
      const work = join(stage.layout.checkpointsDir, id);
      mkdirSync(work, { recursive: true });
      const note = { version: 1, id, handler: 'gone', archive: earlier, together: [earlier] };
      writeFileSync(join(work, 'note.json'), JSON.stringify(note));
      const containers = [{ id, handler: 'fake', archive: join(directory, 'new.tar') }];
      const input: unknown = { attempted: 'checkpoint', containers };
      return faultOf(stage.driver.checkpoint(input as CheckpointInput, fxOf()));
    };

    it('is undone before the next one of the container begins', async () => {
      const stage = bench();
      const earlier = join(directory, 'earlier.tar');
      writeFileSync(partialOf(earlier), 'earlier');
      expect((await begin(stage, earlier)).message).toMatch(/^checkpoint: fake pause: exit code 1/u);
      expect(existsSync(partialOf(earlier))).toBe(false);
      expect(stage.works()).toEqual([]);
    });

    it('keeps its note while it can’t be undone: no other one of the container begins', async () => {
      const stage = bench();
      // a link to itself stands for a file system that does not answer
      symlinkSync('away', join(directory, 'away'));
      const earlier = join(directory, 'away', 'earlier.tar');
      expect((await begin(stage, earlier)).message).toContain(
        `checkpoint: an earlier checkpoint to ${earlier} is not undone: `,
      );
      const kept = JSON.parse(
        readFileSync(join(stage.layout.checkpointsDir, id, 'note.json'), 'utf8'),
      ) as object;
      expect(kept).toMatchObject({ archive: earlier });
      expect(existsSync(join(directory, 'new.tar.partial'))).toBe(false);
    });

    it('keeps its note when that of another container of the request can’t be undone', async () => {
      const { driver, interrupted, works } = bench();
      const [first = '', second = ''] = IDS;
      symlinkSync('away', join(directory, 'away'));
      interrupted(first, join(directory, 'away', 'earlier.tar'));
      const earlier = join(directory, 'earlier.tar');
      interrupted(second, earlier);
      writeFileSync(partialOf(earlier), 'earlier');
      const containers = [first, second].map((one) => ({
        id: one,
        handler: 'fake',
        archive: join(directory, `${one}.tar`),
      }));
      const input: unknown = { attempted: 'checkpoint', containers };
      expect((await faultOf(driver.checkpoint(input as CheckpointInput, fxOf()))).message).toContain(
        'is not undone',
      );
      expect([works(), existsSync(partialOf(earlier))]).toEqual([[first, second], true]);
    });
  });

  describe('F22 for the space that must be left', () => {
    const MIB = 2 ** 20;
    const free = (bytes: number) => ({
      bsize: 4096,
      blocks: (100 * 1024 * MIB) / 4096,
      bavail: bytes / 4096,
      files: 0,
      ffree: 0,
    });
    const at = (name: string): string => join(directory, name);
    const checkpoint = async ({ driver }: CheckpointBench): Promise<{ readonly message: string }> => {
      const containers = [{ id: IDS[0], handler: 'fake', archive: at('a.tar') }];
      const input: unknown = { attempted: 'checkpoint', containers };
      return faultOf(driver.checkpoint(input as CheckpointInput, fxOf()));
    };
    const least = '(needs 256 MiB reserved for the journal and pods, has 100 MiB)';

    it('on a disk that is too full freezes nothing', async () => {
      const stage = bench(async () => free(100 * MIB));
      stage.runtime(`*pause*) : > ${at('frozen')} ;; *) exit 1 ;;`);
      expect(await checkpoint(stage)).toMatchObject({
        kind: 'exhausted',
        message: `checkpoint: no space left on ${stage.layout.checkpointsDir} ${least}`,
      });
      expect(existsSync(at('frozen'))).toBe(false);
      expect([stage.works(), existsSync(partialOf(at('a.tar')))]).toEqual([[], false]);
    });

    it('kills the program that writes, and thaws the container', async () => {
      const stage = bench(async (path) =>
        free(path === stage.layout.checkpointsDir && existsSync(at('writes')) ? 100 * MIB : 1024 * MIB),
      );
      const calls = `*pause*) ;; *resume*) : > ${at('thawed')} ;; *checkpoint*) : > ${at('writes')}; exec sleep 1000 ;;`;
      stage.runtime(`${calls} *) exit 1 ;;`);
      expect(await checkpoint(stage)).toMatchObject({
        kind: 'exhausted',
        message: `checkpoint: no space left on ${stage.layout.checkpointsDir} ${least}`,
      });
      expect(existsSync(at('thawed'))).toBe(true);
      expect([stage.works(), existsSync(partialOf(at('a.tar')))]).toEqual([[], false]);
    });

    it('counts on the disk of the archive, too', async () => {
      const stage = bench(async (path) => free(path.startsWith('/proc/self/fd/') ? 100 * MIB : 1024 * MIB));
      expect(await checkpoint(stage)).toMatchObject({
        kind: 'exhausted',
        message: `checkpoint: no space left on ${at('a.tar')} ${least}`,
      });
    });
  });
});
