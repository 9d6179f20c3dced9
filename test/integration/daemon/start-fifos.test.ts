// A FIFO in the place of each file of ours that a start reads: whoever opened one as a file would wait for its other
// end for ever (F89).
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import type { World } from '../../e2e/support/world.ts';
import { hostOnlyWorld, makePod } from './pod.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';

const id = (digit: string): string => digit.repeat(64);

unless(describe, notRoot())('a start', () => {
  let world: World;

  beforeAll(async () => {
    world = await hostOnlyWorld('fifo');
  });

  afterAll(() => world.close());

  it('F89 reads no FIFO in the place of our files, and containers go on; a FIFO as the journal ends the start', async () => {
    const {
      instance: { root, state, kill, start },
      client: { runtime },
    } = world;
    const { containerId } = await makePod(world, 'lives');
    await runtime.startContainer({ containerId });
    await kill();
    const [layer = ''] = readdirSync(join(root, 'layers'));
    const ofDaemon = [
      join(root, 'storage-driver'),
      join(state, 'helpers.json'),
      join(state, 'network.proven'),
      join(state, 'network.masquerade'),
      join(state, 'introspection.token'),
      join(state, 'handlers/runc.json'),
      join(state, 'handlers/runc.json.new'),
      join(state, 'handlers/runc.probe'),
      join(root, 'layers', layer, 'layer.json'),
    ];
    const unknown = [
      join(state, 'exits', id('1')),
      join(state, 'containers', id('2'), 'conmon.pid'),
      join(state, 'containers', id('2'), 'troupe.json'),
      join(state, 'runtimes/runc', id('3'), 'state.json'),
      join(state, 'sandboxes', id('4'), 'pause.pid'),
      join(root, 'cni/cache', `${id('5')}.json`),
      join(root, 'ingest', id('6')),
      join(root, 'partial/x'),
      join(root, 'trash/x'),
      join(root, 'signatures/x'),
      join(root, 'layers', id('7'), 'layer.json'),
      join(root, 'journal/journal.0'),
      join(root, 'journal/journal.3.damaged'),
      join(root, 'journal/journal.reserve'),
      join(root, 'journal/x.new'),
    ];
    for (const path of [...ofDaemon, ...unknown]) {
      mkdirSync(join(path, '..'), { recursive: true });
      rmSync(path, { force: true });
      execFileSync('mkfifo', [path]);
    }
    await start();
    const { containers } = await runtime.listContainers({});
    expect(containers.map((one) => [one.id, one.state])).toEqual([
      [containerId, ContainerState.CONTAINER_RUNNING],
    ]);
    // what is needed: a start ends with the reason, and waits no longer than for others
    await kill();
    const journal = join(root, 'journal');
    for (const name of readdirSync(journal).filter((one) => /^journal\.\d+$/u.test(one)))
      rmSync(join(journal, name));
    execFileSync('mkfifo', [join(journal, 'journal.9')]);
    await expect(start()).rejects.toThrow(/read .*journal\.9: not a regular file/u);
  });
});
