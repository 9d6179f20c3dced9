// F89, I22: whatever pods, images, earlier runs and somebody's hands have left below root and state, the daemon starts,
// serves, keeps what runs, says what is wrong, and the rest of the debris goes.
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { World } from '../../e2e/support/world.ts';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { must } from '../../../src/host/ffi/errno.ts';
import { callSync, libc } from '../../../src/host/ffi/ffi.ts';
import { MS_BIND } from '../../../src/host/ffi/constants.ts';
import { makeDeepAside } from '../../support/deep-tree.ts';
import { injects } from '../../support/faults/injects.ts';
import { PROGRAM_MS } from '../../support/patience.ts';
import { hostOnlyWorld, makePod, removePod } from './pod.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';

const deepTree = injects('F89', 'a tree of 100000 nested directories in the trash of a killed daemon');
const oddDebris = injects('F89', 'immutable, mounted, wrong and oddly named files below root and state');

/** Levels of the tree that a container leaves: the figure of the row. */
const LEVELS = 100_000;

const at = (...names: string[]): string => join(...names);
const id = (digit: string): string => digit.repeat(64);

type Places = Pick<World['instance'], 'root' | 'state'>;

/** Directories that earlier runs left, and some in the place of files of ours. */
function plantDirectories({ root, state }: Places): void {
  const below = [
    [
      root,
      [
        'ingest/a-directory/in-it',
        'partial/dead/diff',
        `layers/${id('d')}/layer.json`,
        'layers/no-digest',
        'trash/mounted/place',
        'cni/cache/.x.json.new',
        `cni/cache/${id('1')}.json`,
        'signatures/x',
        'checkpoints/x',
        `restores/${id('9')}`,
      ],
    ],
    [
      state,
      [
        `exits/${id('2')}`,
        `exits/${id('2')}.tmp`,
        `containers/${id('3')}/conmon.pid`,
        `containers/${id('4')}/troupe.json`,
        `runtimes/runc/${id('5')}/state.json`,
        `sandboxes/${id('6')}/pause.pid`,
        `ns/${id('7')}/net`,
        'handlers/x.json',
        'shims/x',
      ],
    ],
  ] as const;
  for (const name of ['helpers.json', 'network.proven']) rmSync(at(state, name), { force: true });
  for (const [place, names] of below)
    for (const name of names) mkdirSync(at(place, name), { recursive: true });
  for (const name of ['helpers.json/x', 'network.proven/x']) mkdirSync(at(state, name), { recursive: true });
}

/** Files in the place of directories, names that no daemon makes, FIFOs and links. */
function plantFiles({ root, state }: Places, stuck: string): void {
  const files = [
    at(root, 'trash/a-file'),
    at(root, 'partial/a-file'),
    at(root, 'containers/a-file'),
    at(root, 'containers', id('8')),
    at(state, 'containers', id('8')),
    at(state, 'sandboxes', id('8')),
    stuck,
  ];
  for (const path of files) writeFileSync(path, 'not what is expected here');
  for (const where of [
    at(root, 'trash'),
    at(root, 'partial'),
    at(root, 'ingest'),
    at(root, 'layers'),
    at(state, 'exits'),
    at(state, 'containers'),
  ]) {
    for (const name of [Buffer.alloc(255, 0xfe), Buffer.from('line\nbreak'), Buffer.from('-rf')])
      mkdirSync(Buffer.concat([Buffer.from(`${where}/`), name]));
  }
  execFileSync('mkfifo', [at(state, 'exits', id('a')), at(state, 'containers', `${id('4')}/pidfile`)]);
  symlinkSync('/etc/passwd', at(state, 'exits', id('b')));
  symlinkSync(id('c'), at(state, 'exits', id('c')));
}

/** A mount of `elsewhere` in what is to be deleted; its canary must stay. */
function mountInTrash(root: string, elsewhere: string): void {
  mkdirSync(elsewhere);
  writeFileSync(at(elsewhere, 'canary'), 'kept');
  must(
    callSync(libc.mount, elsewhere, at(root, 'trash/mounted/place'), null, MS_BIND, null),
    'bind',
    elsewhere,
  );
}

unless(describe, notRoot())('debris', () => {
  let world: World;

  beforeAll(async () => {
    world = await hostOnlyWorld('debri');
  });

  afterAll(() => world.close());

  const falseConditions = async (): Promise<Map<string, string>> => {
    const { status } = await world.client.runtime.status({});
    return new Map(
      (status?.conditions ?? [])
        .filter(({ status: isTrue }) => !isTrue)
        .map(({ type, message }) => [type, message]),
    );
  };

  it('F89 I22 a container of 100000 nested directories is removed; the next start serves at once, and the space is freed', async () => {
    const {
      instance,
      client: { runtime },
    } = world;
    const trash = join(instance.root, 'trash');
    const { sandboxId, containerId } = await makePod(world, 'deep');
    await runtime.startContainer({ containerId });
    await makeDeepAside(join(instance.root, 'containers', containerId, 'upper'), LEVELS);
    await removePod(world, sandboxId);
    await instance.kill();
    // the kill came before the deletion was through, on any machine that is not a hundred times as fast
    expect(readdirSync(trash)).toHaveLength(1);
    deepTree.happened();
    await instance.start();
    expect((await runtime.listContainers({})).containers).toEqual([]);
    await expect.poll(() => readdirSync(trash), { interval: 250, timeout: PROGRAM_MS }).toEqual([]);
    expect(await falseConditions()).toEqual(new Map());
    expect(await instance.log()).toMatch(/"entries":\d{5,},.*"emptied trash"/u);
  });

  it('F89 I22 with debris of every kind pods go on, what can’t be deleted or read is a condition, the rest is deleted', async () => {
    const {
      instance,
      client: { runtime },
    } = world;
    const { root, state, directory } = instance;
    const { containerId, sandboxId } = await makePod(world, 'lives');
    await runtime.startContainer({ containerId });
    await instance.kill();
    const stuck = at(root, 'ingest', id('e'));
    plantDirectories(instance);
    plantFiles(instance, stuck);
    const elsewhere = at(directory, 'elsewhere');
    mountInTrash(root, elsewhere);
    renameSync(at(state, 'sandboxes'), at(state, 'sandboxes.kept'));
    writeFileSync(at(state, 'sandboxes'), 'no directory');
    execFileSync('chattr', ['+i', stuck]);
    try {
      await instance.start();
      const { containers } = await runtime.listContainers({});
      expect(containers.map((one) => [one.id, one.state])).toEqual([
        [containerId, ContainerState.CONTAINER_RUNNING],
      ]);
      await expect
        .poll(
          () => [
            readdirSync(at(root, 'trash')),
            readdirSync(at(root, 'partial')),
            readdirSync(at(root, 'ingest')),
          ],
          { timeout: PROGRAM_MS },
        )
        .toEqual([[], [], [id('e')]]);
      // with the janitor's first round
      await expect
        .poll(async () => (await falseConditions()).get('DebrisRemoved'))
        .toMatch(/ingest\/e{64}: .*EPERM/u);
      oddDebris.happened();
      const conditions = await falseConditions();
      expect(conditions.get('DebrisRemoved')).toContain('sandboxes.not-a-directory');
      expect(conditions.get('PartsStarted')).toContain('helpers of an earlier boot');
      expect(readFileSync(at(elsewhere, 'canary'), 'utf8')).toBe('kept');
    } finally {
      execFileSync('chattr', ['-i', stuck]);
    }
    // its image's layers have lost a user, so the janitor's next round checks again
    await removePod(world, sandboxId);
    await expect
      .poll(async () => (await falseConditions()).get('DebrisRemoved') ?? '')
      .not.toContain('EPERM');
    expect((await runtime.listPodSandbox({})).items).toEqual([]);
  });
});
