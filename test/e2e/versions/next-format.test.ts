// F92, F93: a program whose journal has the next version takes over from today's, under running pods; it dies on the
// way; and today's is put back in its place.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { storedVersions } from '../../../src/base/stored-versions.ts';
import { takeOverLimits } from '../../../src/daemon/bounds.ts';
import { injects } from '../../support/faults/injects.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { describePods } from '../support/crictl.ts';
import { startLoad } from '../upgrade/load.ts';
import {
  type Death,
  FORMER_TYPE,
  hasDied,
  NEXT_JOURNAL,
  NEXT_TYPE,
  NEXT_VERSION,
  markDeath,
} from './next-program.ts';
import {
  factsOf,
  journalIn,
  makeNextWorld,
  type NextWorld,
  printed,
  removePods,
  startPod,
} from './next-world.ts';
import { digestOfTree } from './tree.ts';

const migrated = injects('F93', 'a program of the next journal version takes over, under load');
const newerJournal = injects(
  'F93',
  'the program of today on root and state of the next version, with running pods',
);
const died = injects(
  'F92',
  'SIGKILL of a successor of the next journal version, before and after it has migrated',
);

const NEWER = `written in format ${NEXT_JOURNAL} by a newer troupe`;
const SUCCESSOR = '"msg":"started a successor';

let next: NextWorld;
let image: string;
let containers: readonly string[];
let before: object;

beforeEach(async () => {
  next = await makeNextWorld();
  const { world } = next;
  image = await world.pull();
  containers = [await startPod(world, image, 'one'), await startPod(world, image, 'two')];
  before = await factsOf(world);
});

afterEach(async () => await next.close());

const logged = (text: string): Promise<void> =>
  expect.poll(next.world.instance.log, { timeout: EVENT_MS }).toContain(text);

const upgrade = (directory: string): ReturnType<NextWorld['troupe']> => next.troupe(directory, 'upgrade');

/** A daemon of this journal serves: nothing has restarted, programs run in containers, and pods are made. */
async function serves(journal: number): Promise<void> {
  const { world } = next;
  expect(await factsOf(world)).toEqual(before);
  for (const id of containers) expect(await printed(world, id, `in ${id}`)).toBe(`in ${id}`);
  const [now, never] = journal === NEXT_JOURNAL ? [NEXT_TYPE, FORMER_TYPE] : [FORMER_TYPE, NEXT_TYPE];
  const id = await startPod(world, image, `new-${journal}`);
  expect(await printed(world, id, 'new')).toBe('new');
  const { format, text } = journalIn(world.instance.root);
  expect([format, text.includes(now), text.includes(never)]).toEqual([journal, true, false]);
}

describePods('a program of the next journal version', () => {
  test('F93 takes over under load: it migrates the journal, nothing restarts and no call fails', async () => {
    const { world, exchange, place, successors } = next;
    const load = startLoad(world, { image, lives: 1, execsPerSecond: 5, containers });
    exchange();
    const { code, stderr } = await upgrade(place);
    migrated.happened();
    await load.end();
    expect([code, stderr, load.tally.failed, load.tally.unavailable]).toEqual([0, '', [], 0]);
    await serves(NEXT_JOURNAL);
    await removePods(world);
    world.client.close();
    await successors.terminate();
    expect(await world.leftovers()).toEqual([]);
  });

  test.each<[Death, 'the next program' | 'the program of today', number]>([
    ['locked', 'the program of today', storedVersions.journal],
    ['locked', 'the next program', NEXT_JOURNAL],
    ['migrated', 'the next program', NEXT_JOURNAL],
    ['serving', 'the next program', NEXT_JOURNAL],
  ])('F92 it dies once it is %s: %s at the path serves', async (death, atPath, journal) => {
    const { exchange, place, other } = next;
    const isNext = atPath === 'the next program';
    if (isNext) exchange();
    markDeath(isNext ? place : other, death);
    await upgrade(isNext ? place : other);
    await logged(SUCCESSOR);
    expect(hasDied(isNext ? place : other, death)).toBe(true);
    died.happened();
    await expect.poll(async () => (await next.troupe(place, 'status')).code, { timeout: EVENT_MS }).toBe(0);
    await serves(journal);
  });

  test.each<[Death]>([['migrated'], ['serving']])(
    'F92 it dies once it is %s, and the program of today is at the path: refused with what to install, which serves then',
    async (death) => {
      const { world, exchange, place, other, successors } = next;
      const { root, log } = world.instance;
      markDeath(other, death);
      await upgrade(other);
      await expect.poll(() => hasDied(other, death), { timeout: EVENT_MS }).toBe(true);
      died.happened();
      await expect.poll(() => successors.serving(), { timeout: EVENT_MS }).toBe(undefined);
      const left = digestOfTree(root);
      await logged('no successor has taken over');
      // not one of them has written anything, and the next one comes after a pause
      expect(digestOfTree(root)).toEqual(left);
      const said = await log();
      expect(said.split(SUCCESSOR)).toHaveLength(takeOverLimits.successors + 1);
      expect(said).toContain(
        `${NEXT_VERSION} has migrated it to ${NEXT_JOURNAL}; install ${NEXT_VERSION} or a newer`,
      );
      // the daemon that waits keeps the sockets
      const shown = await Promise.all(['status', 'check'].map((command) => next.troupe(place, command)));
      for (const { code, stderr } of shown)
        expect([code, stderr]).toEqual([1, expect.stringContaining(NEWER)]);
      // a call that waits meanwhile
      const name = next.world.client.runtime.listPodSandbox({});
      exchange();
      const { code, stderr } = await upgrade(place);
      expect([code, stderr]).toEqual([0, '']);
      expect((await name).items).toHaveLength(containers.length);
      await serves(NEXT_JOURNAL);
    },
  );

  test('F93 the program of today is put back: refused before a byte is written, also by its package', async () => {
    const { world, exchange, place, packaged, killAll, troupe } = next;
    const { instance } = world;
    exchange();
    expect((await upgrade(place)).code).toBe(0);
    exchange();
    // while the next one serves, which goes on
    const refusal = `up to version ${storedVersions.journal}, and that of the daemon that runs has ${NEXT_JOURNAL}`;
    const advice = `go on with ${NEXT_VERSION} or a newer one`;
    const downgraded = await packaged('upgraded');
    expect([downgraded.code, downgraded.called]).toEqual([0, 'daemon-reload\n']);
    for (const text of [refusal, advice, 'goes on']) expect(downgraded.stderr).toContain(text);
    expect(await factsOf(world)).toEqual(before);
    await killAll();
    const tree = (): readonly string[] => [instance.root, instance.state].flatMap(digestOfTree);
    const left = tree();
    newerJournal.happened();
    for (const [command, code] of [
      ['serve', 1],
      ['status', 4],
      ['check', 1],
      ['upgrade', 6],
    ] as const) {
      const said = await troupe(place, command);
      expect([command, said.code, said.stderr]).toEqual([command, code, expect.stringContaining(NEWER)]);
      for (const text of ['docs/upgrade.md', `troupe ${NEXT_VERSION} has started here last`])
        expect(said.stderr).toContain(text);
      expect([command, tree()]).toEqual([command, left]);
    }
    // the service would end what runs there, or be started without end
    const again = await packaged('upgraded');
    expect([again.called, again.stderr]).toEqual(['daemon-reload\n', expect.stringContaining(NEWER)]);
    const installed = await packaged('installed');
    expect([installed.code, installed.stderr]).toEqual([0, expect.stringContaining(NEWER)]);
    expect(tree()).toEqual(left);
    exchange();
    await instance.start();
    await serves(NEXT_JOURNAL);
  });
});
