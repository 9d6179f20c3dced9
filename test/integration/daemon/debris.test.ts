// F89, I22: whatever pods, images, earlier runs and somebody's hands have left below root and state, the daemon starts,
// serves, keeps what runs, says what is wrong, and the rest of the debris goes.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { World } from '../../e2e/support/world.ts';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { must } from '../../../src/host/errno.ts';
import { callSync, libc } from '../../../src/host/ffi.ts';
import { MS_BIND } from '../../../src/host/ffi-constants.ts';
import { makeDeepAside } from '../../support/deep-tree.ts';
import { PROGRAM_MS } from '../../support/patience.ts';
import { hostOnlyWorld, makePod, removePod } from './pod.ts';

/** Levels of the tree that a container leaves: the figure of the row. */
const LEVELS = 100_000;

describe.skipIf(process.getuid?.() !== 0)('debris', () => {
  let world: World;

  beforeAll(async () => {
    world = await hostOnlyWorld('debri');
  });

  afterAll(() => world.close());

  const falseConditions = async (): Promise<Map<string, string>> => {
    const { status } = await world.client.runtime.status({});
    return new Map((status?.conditions ?? []).filter(({ status: isTrue }) => !isTrue).map(({ type, message }) => [type, message]));
  };

  it('F89 I22 a container of 100000 nested directories is removed: the next start serves at once, and the space comes back', async () => {
    const { instance, client: { runtime } } = world;
    const trash = join(instance.root, 'trash');
    const { sandboxId, containerId } = await makePod(world, 'deep');
    await runtime.startContainer({ containerId });
    await makeDeepAside(join(instance.root, 'containers', containerId, 'upper'), LEVELS);
    await removePod(world, sandboxId);
    await instance.kill();
    // the kill came before the deletion was through, on any machine that is not a hundred times as fast
    expect(readdirSync(trash)).toHaveLength(1);
    await instance.start();
    expect((await runtime.listContainers({})).containers).toEqual([]);
    await expect.poll(() => readdirSync(trash), { interval: 250, timeout: PROGRAM_MS }).toEqual([]);
    expect(await falseConditions()).toEqual(new Map());
    expect(await instance.log()).toMatch(/"entries":\d{5,},.*"trash emptied"/u);
  });

  it('F89 I22 debris of every kind: pods go on, what can’t be deleted or read is a condition, the rest goes', async () => {
    const { instance, client: { runtime } } = world;
    const { root, state, directory } = instance;
    const { containerId, sandboxId } = await makePod(world, 'lives');
    await runtime.startContainer({ containerId });
    await instance.kill();
    const at = (...names: string[]): string => join(...names);
    const id = (digit: string): string => digit.repeat(64);
    const stuck = at(root, 'ingest', id('e'));
    const plain = [at(root, 'ingest', 'a-directory', 'in-it'), at(root, 'partial/dead/diff'), at(root, 'layers', id('d'), 'layer.json'), at(root, 'layers/no-digest'),
      at(root, 'trash/mounted/place'), at(root, 'cni/cache/.x.json.new'), at(root, 'cni/cache', `${id('1')}.json`), at(root, 'signatures/x'), at(root, 'checkpoints/x'), at(root, 'restores', id('9')),
      at(state, 'exits', id('2')), at(state, 'exits', `${id('2')}.tmp`), at(state, 'containers', id('3'), 'conmon.pid'), at(state, 'containers', id('4'), 'troupe.json'),
      at(state, 'runtimes/runc', id('5'), 'state.json'), at(state, 'sandboxes', id('6'), 'pause.pid'), at(state, 'ns', id('7'), 'net'), at(state, 'handlers/x.json'),
      at(state, 'shims/x')];
    // in the place of files of ours
    plain.push(at(state, 'helpers.json/x'), at(state, 'network.proven/x'));
    for (const name of ['helpers.json', 'network.proven']) rmSync(at(state, name), { force: true });
    for (const path of plain) mkdirSync(path, { recursive: true });
    for (const path of [at(root, 'trash/a-file'), at(root, 'partial/a-file'), at(root, 'containers/a-file'), at(root, 'containers', id('8')), at(state, 'containers', id('8')), at(state, 'sandboxes', id('8')), stuck]) {
      writeFileSync(path, 'not what is expected here');
    }
    for (const where of [at(root, 'trash'), at(root, 'partial'), at(root, 'ingest'), at(root, 'layers'), at(state, 'exits'), at(state, 'containers')]) {
      for (const name of [Buffer.alloc(255, 0xfe), Buffer.from('line\nbreak'), Buffer.from('-rf')]) mkdirSync(Buffer.concat([Buffer.from(`${where}/`), name]));
    }
    execFileSync('mkfifo', [at(state, 'exits', id('a')), at(state, 'containers', `${id('4')}/pidfile`)]);
    symlinkSync('/etc/passwd', at(state, 'exits', id('b')));
    symlinkSync(id('c'), at(state, 'exits', id('c')));
    const elsewhere = at(directory, 'elsewhere');
    mkdirSync(elsewhere);
    writeFileSync(at(elsewhere, 'canary'), 'kept');
    must(callSync(libc.mount, elsewhere, at(root, 'trash/mounted/place'), null, MS_BIND, null), 'bind', elsewhere);
    renameSync(at(state, 'sandboxes'), at(state, 'sandboxes.kept'));
    writeFileSync(at(state, 'sandboxes'), 'no directory');
    execFileSync('chattr', ['+i', stuck]);
    try {
      await instance.start();
      const { containers } = await runtime.listContainers({});
      expect(containers.map((one) => [one.id, one.state])).toEqual([[containerId, ContainerState.CONTAINER_RUNNING]]);
      await expect.poll(() => [readdirSync(at(root, 'trash')), readdirSync(at(root, 'partial')), readdirSync(at(root, 'ingest'))], { timeout: PROGRAM_MS }).toEqual([[], [], [id('e')]]);
      // with the janitor's first round
      await expect.poll(async () => (await falseConditions()).get('DebrisRemoved')).toMatch(/ingest\/e{64}: .*EPERM/u);
      const conditions = await falseConditions();
      expect(conditions.get('DebrisRemoved')).toContain('sandboxes.not-a-directory');
      expect(conditions.get('PartsStarted')).toContain('helpers of an earlier run');
      expect(readFileSync(at(elsewhere, 'canary'), 'utf8')).toBe('kept');
    } finally {
      execFileSync('chattr', ['-i', stuck]);
    }
    // its image's layers have lost a user, so the janitor's next round looks again
    await removePod(world, sandboxId);
    await expect.poll(async () => (await falseConditions()).get('DebrisRemoved') ?? '').not.toContain('EPERM');
    expect((await runtime.listPodSandbox({})).items).toEqual([]);
  });
});
