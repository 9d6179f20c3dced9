/**
 * What every CheckpointPort does, the real one with a CRIU that is played: archives, restores, and what is left when
 * either is cut off.
 */
import { expect, it } from 'vitest';
import type { EffectContext } from '../../src/ports/effect.ts';
import type { RuntimeFacts } from '../../src/ports/runtime.ts';
import { archived, attempted, imported } from './checkpoint-stage.ts';
import type { CheckpointStage } from './checkpoint-stage.ts';
import { fx, kindOf } from './runtime-stage.ts';
import type { ContainerRequest } from './runtime-stage.ts';
import { describeCases, describeSuite } from './suite.ts';
import { fxOf } from '../support/fx.ts';
import { EVENT_MS, PROGRAM_MS } from '../support/patience.ts';

/** Bound of a call that hangs, ms: none that works takes as long on a slow machine as this is short. */
const SHORT_MS = 1000;
type End = readonly ['hangs' | 'fails', 'timedOut' | 'cancelled' | 'outside'];
const ENDS: readonly End[] = [
  ['hangs', 'timedOut'],
  ['hangs', 'cancelled'],
  ['fails', 'outside'],
];

const factsOf = async (
  { runtime }: CheckpointStage,
  { id }: ContainerRequest,
): Promise<RuntimeFacts | undefined> =>
  (await runtime.observe(fx)).containers.find((facts) => facts.id === id);

/** The call's kind of end while CRIU hangs or fails. */
async function spoilt(
  stage: CheckpointStage,
  [how, kind]: End,
  call: (effect: EffectContext) => Promise<unknown>,
): Promise<string> {
  const caller = new AbortController();
  stage.spoil(how);
  if (kind === 'cancelled') stage.whenHanging(() => caller.abort());
  const ended = await kindOf(call(fxOf(kind === 'timedOut' ? SHORT_MS : EVENT_MS, caller.signal)));
  stage.heal();
  return ended;
}

/** A call hangs when the daemon dies. */
async function cutOff(stage: CheckpointStage, call: () => Promise<unknown>): Promise<void> {
  let hangs = false;
  stage.spoil('hangs');
  stage.whenHanging(() => void (hangs = true));
  call().catch(() => undefined);
  await stage.until(() => hangs);
  stage.heal();
  await stage.restart();
}

const checkpoints = describeCases<CheckpointStage>((of) => {
  it('a checkpoint writes one archive and nothing beside it, and thaws the container', async () => {
    const stage = of();
    const { one, directory, archive } = await archived(stage);
    expect([stage.namesIn(directory), stage.isStill(one), stage.works()]).toStrictEqual([
      ['c.tar'],
      false,
      0,
    ]);
    expect(await factsOf(stage, one)).toMatchObject({
      process: 'running',
      init: one.init,
      monitorAlive: true,
    });
    const facts = await stage.port.describe({ attempted, handler: '', from: { archive } }, fx);
    expect([facts.images.includes(stage.described(one, archive).image.id), facts.tty]).toStrictEqual([
      true,
      false,
    ]);
    expect(await stage.port.describe({ attempted, handler: '', from: { archive } }, fx)).toStrictEqual(facts);
  });

  it('an existing file in the archive’s place is a conflict and stays; a directory that must be empty is refused when it is not', async () => {
    const stage = of();
    const one = await stage.running();
    const directory = stage.newDirectory();
    for (const name of ['c.tar', 'd.tar.partial']) {
      stage.plant(`${directory}/${name}`);
      const archive = `${directory}/${name.slice(0, 'c.tar'.length)}`;
      expect(
        await kindOf(stage.port.checkpoint({ attempted, containers: [stage.described(one, archive)] }, fx)),
      ).toBe('conflict');
    }
    expect(
      await kindOf(
        stage.port.checkpoint(
          { attempted, emptyDirectory: directory, containers: [stage.described(one, `${directory}/e.tar`)] },
          fx,
        ),
      ),
    ).toBe('invalidRequest');
    expect([stage.namesIn(directory), stage.isStill(one), stage.works()]).toStrictEqual([
      ['c.tar', 'd.tar.partial'],
      false,
      0,
    ]);
  });

  it('F92 one that an earlier daemon was asked for, and has written, is complete; an older archive is a conflict', async () => {
    const stage = of();
    const [one, two] = [await stage.running(), await stage.running()];
    const directory = stage.newDirectory();
    const both = [stage.described(one, `${directory}/c.tar`), stage.described(two, `${directory}/d.tar`)];
    const askedNs = stage.nowNs();
    const request = { attempted, containers: both.slice(0, 1), emptyDirectory: directory };
    await stage.port.checkpoint(request, fx);
    await stage.restart();
    let thawed = 0;
    const again = { ...request, askedNs, onThawed: () => void (thawed += 1) };
    expect(await kindOf(stage.port.checkpoint(again, fx))).toBe('none');
    expect([thawed, stage.namesIn(directory), stage.works()]).toStrictEqual([1, ['c.tar'], 0]);
    // a part of the request
    expect(await kindOf(stage.port.checkpoint({ ...again, containers: both }, fx))).toBe('invalidRequest');
    // later than the file system can date its writing
    const lateNs = stage.nowNs() + 1_000_000_000n;
    expect(await kindOf(stage.port.checkpoint({ ...again, askedNs: lateNs }, fx))).toBe('invalidRequest');
    stage.plant(`${directory}/c.tar.partial`);
    expect(await kindOf(stage.port.checkpoint(again, fx))).toBe('invalidRequest');
  });

  it('a checkpoint of several containers at one moment writes all archives or none', async () => {
    const stage = of();
    const [one, two, none] = [await stage.running(), await stage.running(), stage.container()];
    const into = async (all: readonly ContainerRequest[], directory: string): Promise<string> =>
      kindOf(
        stage.port.checkpoint(
          {
            attempted,
            emptyDirectory: directory,
            containers: all.map((each, at) => stage.described(each, `${directory}/${at}.tar`)),
          },
          fx,
        ),
      );
    const [whole, empty] = [stage.newDirectory(), stage.newDirectory()];
    expect([await into([one, two], whole), stage.namesIn(whole)]).toStrictEqual(['none', ['0.tar', '1.tar']]);
    // the last of them has no process
    expect([await into([one, two, none], empty), stage.namesIn(empty)]).toStrictEqual(['outside', []]);
    expect([stage.isStill(one), stage.isStill(two), stage.works()]).toStrictEqual([false, false, 0]);
  });

  it('F33 says when the containers run again: before an archive has its name, and after a failure too', async () => {
    const stage = of();
    const one = await stage.running();
    const directory = stage.newDirectory();
    const seen: unknown[] = [];
    const request = (name: string) => ({
      attempted,
      containers: [stage.described(one, `${directory}/${name}`)],
      onThawed: () => void seen.push([stage.isStill(one), stage.namesIn(directory).includes(name)]),
    });
    await stage.port.checkpoint(request('c.tar'), fx);
    const failing = spoilt(stage, ['fails', 'outside'], (effect) =>
      stage.port.checkpoint(request('d.tar'), effect),
    );
    expect([await failing, stage.namesIn(directory)]).toStrictEqual(['outside', ['c.tar']]);
    // one that fails before it freezes a container says so, too, for a stop that waits
    expect(await kindOf(stage.port.checkpoint(request('c.tar'), fx))).toBe('conflict');
    expect(seen).toStrictEqual([
      [false, false],
      [false, false],
      [false, true],
    ]);
  });

  it.each(ENDS)(
    'a checkpoint that %s is %s, leaves no part of an archive, and thaws the container',
    async (...end) => {
      const stage = of();
      const one = await stage.running();
      const directory = stage.newDirectory();
      const request = { attempted, containers: [stage.described(one, `${directory}/c.tar`)] };
      expect(await spoilt(stage, end, (effect) => stage.port.checkpoint(request, effect))).toBe(end[1]);
      expect([stage.namesIn(directory), stage.isStill(one), stage.works()]).toStrictEqual([[], false, 0]);
      await stage.port.checkpoint(request, fx);
      expect(stage.namesIn(directory)).toStrictEqual(['c.tar']);
    },
  );
});

const restores = describeCases<CheckpointStage>((of) => {
  it('before its restore a container has a bundle and images but no process; then it runs, has a monitor, and ends with its code', async () => {
    const stage = of();
    const { archive } = await archived(stage);
    const wanted = await imported(stage, archive);
    const waits = {
      id: wanted.id,
      process: 'gone',
      init: undefined,
      monitorAlive: false,
      exitFile: undefined,
      leftovers: true,
      checkpoint: true,
    };
    expect([await factsOf(stage, wanted), stage.hasImages(wanted)]).toStrictEqual([waits, true]);
    const init = await stage.port.restore(wanted, fx);
    // a daemon that did not see it begin finds one that runs
    await stage.restart();
    stage.runtime.watch({ ...wanted, init });
    expect([await factsOf(stage, wanted), stage.hasImages(wanted)]).toStrictEqual([
      { ...waits, process: 'running', init, monitorAlive: true, checkpoint: false },
      false,
    ]);
    await stage.runtime.killAll({ ...wanted, init }, fx);
    await stage.until(() => stage.reported(wanted.id).length > 0);
    expect(stage.reported(wanted.id)[0]).toMatchObject({ exitCode: 137, observedBy: 'exitFile' });
    await stage.runtime.destroy(wanted, fx);
    expect(await factsOf(stage, wanted)).toBeUndefined();
  });

  it('an archive that is not a checkpoint, or not the described one, is refused; one that was not imported is notFound', async () => {
    const stage = of();
    const { archive, directory } = await archived(stage);
    for (const absent of [`${directory}/none.tar`, `${directory}/other.tar`]) {
      if (absent.endsWith('other.tar')) stage.plant(absent);
      expect(
        await kindOf(stage.port.describe({ attempted, handler: '', from: { archive: absent } }, fx)),
      ).toBe('invalidRequest');
    }
    const wanted = stage.container();
    expect(
      await kindOf(stage.port.import({ ...wanted, restore: { from: { archive }, digest: 'sha256:0' } }, fx)),
    ).toBe('invalidRequest');
    await stage.runtime.writeBundle(wanted, fx);
    const other = stage.container();
    await stage.runtime.writeBundle(other, fx);
    expect(
      await kindOf(
        stage.port.restore(
          { ...other, spec: { ...other.spec, restore: { from: { archive }, digest: 'sha256:0' } } },
          fx,
        ),
      ),
    ).toBe('notFound');
    for (const one of [wanted, other]) {
      await stage.runtime.destroy(
        { ...one, spec: { ...one.spec, restore: { from: { archive }, digest: 'sha256:0' } } },
        fx,
      );
      expect([await factsOf(stage, one), stage.hasImages(one)]).toStrictEqual([undefined, false]);
    }
  });

  it('the end of a container that is never restored is reported without an exit file, and destroy deletes its images', async () => {
    const stage = of();
    const { archive } = await archived(stage);
    const wanted = await imported(stage, archive);
    await stage.runtime.killAll({ ...wanted, init: undefined }, fx);
    expect(stage.reported(wanted.id)).toMatchObject([{ exitCode: 137, observedBy: 'process' }]);
    await stage.runtime.destroy(wanted, fx);
    expect([await factsOf(stage, wanted), stage.hasImages(wanted)]).toStrictEqual([undefined, false]);
  });

  it.each(ENDS)('F33 F34 a restore that %s is %s, and leaves neither process nor images', async (...end) => {
    const stage = of();
    const { archive } = await archived(stage);
    const wanted = await imported(stage, archive);
    expect(await spoilt(stage, end, (effect) => stage.port.restore(wanted, effect))).toBe(end[1]);
    expect([await factsOf(stage, wanted), stage.hasImages(wanted)]).toMatchObject([
      { process: 'gone', init: undefined, monitorAlive: false, checkpoint: false },
      false,
    ]);
    await stage.runtime.destroy(wanted, fx);
    expect(await factsOf(stage, wanted)).toBeUndefined();
  });
});

const deaths = describeCases<CheckpointStage>((of) => {
  it('F03 a checkpoint whose daemon dies is undone by the next daemon: the container is thawed, no part is left, and a new checkpoint succeeds', async () => {
    const stage = of();
    const one = await stage.running();
    const directory = stage.newDirectory();
    const request = { attempted, containers: [stage.described(one, `${directory}/c.tar`)] };
    await cutOff(stage, () => stage.port.checkpoint(request, fxOf(PROGRAM_MS)));
    expect([stage.namesIn(directory), stage.isStill(one), stage.works()]).toStrictEqual([[], false, 0]);
    await stage.port.checkpoint(request, fx);
    expect([stage.namesIn(directory), stage.isStill(one)]).toStrictEqual([['c.tar'], false]);
  });

  it('F03 a restore whose daemon dies is undone by the next daemon: the container waits as before, no end was reported, and it can be restored', async () => {
    const stage = of();
    const { archive } = await archived(stage);
    const wanted = await imported(stage, archive);
    await cutOff(stage, () => stage.port.restore(wanted, fxOf(PROGRAM_MS)));
    expect([await factsOf(stage, wanted), stage.hasImages(wanted), stage.reported(wanted.id)]).toMatchObject([
      {
        process: 'gone',
        init: undefined,
        monitorAlive: false,
        exitFile: undefined,
        leftovers: true,
        checkpoint: true,
      },
      true,
      [],
    ]);
    const init = await stage.port.restore(wanted, fx);
    expect([await factsOf(stage, wanted), stage.hasImages(wanted)]).toMatchObject([
      { process: 'running', init, monitorAlive: true },
      false,
    ]);
    await stage.runtime.destroy(wanted, fx);
  });
});

/** The suite; a stage is a machine with a sandbox and without containers. */
export const checkpointConformance = describeSuite('checkpoints', checkpoints, restores);

/**
 * The same, where a daemon can die within the test: the real one is killed in
 * test/integration/daemon/{checkpoint,restore}.test.ts.
 */
export const checkpointDeaths = describeSuite('checkpoints and death', deaths);
