// Images that containers mount as volumes: held while they are in use, recorded with the intent, refused to be removed.
import { describe, expect, it } from 'vitest';
import { ledgerFold } from '../../../../src/actors/ledger/ledger.ts';
import { planContainer } from '../../../../src/actors/recovery/plan.ts';
import type { Mount } from '../../../../src/ports/specs.ts';
import type { ImageId } from '../../../../src/base/ids.ts';
import { EasyWorld } from '../easy-ports.ts';
import { turns } from '../../../support/turns.ts';
import { containerSpec, digest, exit as exitFact, imageRecord, sandboxSpec } from '../fixtures.ts';

const models = imageRecord({
  id: `sha256:${'7'.repeat(64)}` as ImageId,
  repoTags: ['models:1'],
  repoDigests: [],
  layers: [digest('7'), digest('8')].map((diffId) => ({
    digest: diffId,
    diffId,
    mediaType: 'tar',
    sizeBytes: 1,
  })),
});
const volume = (containerPath: string, id: ImageId = models.id): Mount => ({
  containerPath,
  hostPath: '',
  readonly: true,
  recursiveReadOnly: false,
  propagation: 'private',
  selinuxRelabel: false,
  image: { id, subPath: '' },
});

async function withContainer(mounts: readonly Mount[]) {
  const world = await EasyWorld.serving();
  ledgerFold.apply(world.ledger, { type: 'image.present', image: models });
  const { troupe } = world;
  const sandboxId = await troupe.runSandbox(sandboxSpec(), world.call());
  const create = () =>
    troupe.createContainer(
      containerSpec({ key: { sandboxId, name: 'app', attempt: 0 }, mounts }),
      world.call(),
    );
  return { world, troupe, create };
}

describe('an image as a volume', () => {
  it('is in the intent once, with its layers, also after a restart', async () => {
    const { world, troupe, create } = await withContainer([volume('/a'), volume('/b')]);
    const id = await create();
    const volumes = [{ id: models.id, layers: [digest('7'), digest('8')] }];
    expect(troupe.directory.container(id)?.image.volumes).toEqual(volumes);
    const nothing = {
      nowNs: 1n,
      nowMonoMs: 0,
      host: { bootId: '', sandboxes: [] },
      containers: new Map(),
      alive: new Set<never>(),
      pauses: new Map(),
      storage: { layers: [], rootfs: [] },
      networks: new Set<never>(),
    };
    expect(planContainer(world.ledger, nothing, id)?.image.volumes).toEqual(volumes);
  });

  it('that is missing is reported before anything is made', async () => {
    const { world, create } = await withContainer([volume('/a', `sha256:${'9'.repeat(64)}` as ImageId)]);
    world.asked.length = 0;
    await expect(create()).rejects.toMatchObject({
      fault: {
        kind: 'notFound',
        message: expect.stringMatching(/image sha256:9+, which it mounts: not found/u) as string,
      },
    });
    expect(world.asked).toEqual([]);
  });

  it('cannot be removed while a container that may still run uses it', async () => {
    const { world, troupe, create } = await withContainer([volume('/a')]);
    const id = await create();
    await expect(troupe.removeImage('models:1', world.call())).rejects.toMatchObject({
      fault: { kind: 'wrongState', message: expect.stringContaining(id) as string },
    });
    await troupe.startContainer(id, world.call());
    await expect(troupe.removeImage(models.id, world.call())).rejects.toMatchObject({
      fault: { kind: 'wrongState' },
    });
    world.exits(id, { ...exitFact, finishedAtNs: 10n ** 15n });
    await turns();
    await turns();
    expect(troupe.directory.container(id)?.criState).toBe('exited');
    await troupe.removeImage('models:1', world.call());
    expect(troupe.images().map((image) => image.id)).not.toContain(models.id);
    // the ended container may still be inspected: its layers go with it
    expect(world.count('storage.removeLayer')).toBe(0);
  });
});
