// Mounts and images as volumes through the running daemon's socket: what the process inside and ContainerStatus report
// them.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { imageOf, layerOf } from '../../../scripts/support/image.ts';
import type { MountSchema } from '../../../src/gen/runtime/v1/api_pb.ts';
import type { Fields } from '../../unit/cri/stage.ts';
import { openFields } from './fields-bench.ts';
import { code as codes, refusalOf } from './refusal.ts';
import type { Bench } from './fields-bench.ts';

/** Two layers: a whiteout, a program, and links that lead out of the image. */
const volumeImage = imageOf({}, [
  layerOf([
    { type: 'directory', path: 'models', mode: 0o755 },
    { type: 'file', path: 'models/one', mode: 0o644, content: 'one\n' },
    { type: 'file', path: 'models/gone', mode: 0o644, content: 'gone\n' },
    { type: 'file', path: 'run', mode: 0o755, content: '#!/bin/sh\necho ran\n' },
    { type: 'symlink', path: 'latest', target: '/models' },
    { type: 'symlink', path: 'outside', target: '../../../../../../../../etc' },
  ]),
  layerOf([
    { type: 'file', path: 'models/.wh.gone', mode: 0o644, content: '' },
    { type: 'file', path: 'models/two', mode: 0o644, content: 'two\n' },
  ]),
]);
const oneLayer = imageOf({}, [layerOf([{ type: 'file', path: 'only', mode: 0o644, content: 'only\n' }])]);

let bench: Bench;
beforeAll(async () => {
  bench = await openFields(
    'fvol',
    new Map([
      ['test/models:1', volumeImage],
      ['test/only:1', oneLayer],
    ]),
  );
});
afterAll(() => bench.close());

describe('mounts', () => {
  it('mount options are in force in the container and reported', async () => {
    const volume = join(bench.world.instance.directory, 'volume');
    mkdirSync(volume);
    writeFileSync(join(volume, 'run'), '#!/bin/sh\necho ran\n', { mode: 0o755 });
    const id = await bench.run({
      mounts: [
        { containerPath: '/free', hostPath: volume },
        { containerPath: '/bound', hostPath: volume, mountOptions: ['nosuid', 'noexec', 'nodev'] },
      ],
    });
    expect(await bench.exec(id, '/free/run; /bound/run; grep " /bound " /proc/self/mountinfo')).toMatch(
      /^ran\n[^]*\/bound rw,nosuid,nodev,noexec[^]*\/bound\/run: Permission denied/u,
    );
    const { status } = await bench.world.client.runtime.containerStatus({ containerId: id });
    expect(status?.mounts.map(({ mountOptions }) => mountOptions)).toEqual([
      [],
      ['nodev', 'noexec', 'nosuid'],
    ]);
    expect((await bench.world.client.runtime.status({})).features?.mountOptions).toBe(true);
    await bench.end(id);
  });

  it('a file mounted on a directory of the image is InvalidArgument', async () => {
    const hostPath = join(bench.world.instance.directory, 'file');
    writeFileSync(hostPath, '');
    const { code, details } = await refusalOf(
      bench.createContainer({ mounts: [{ containerPath: '/etc', hostPath }] }),
    );
    expect([code, details]).toEqual([
      codes.invalidArgument,
      expect.stringContaining(
        `mount ${hostPath} at /etc: the source is no directory, but the image has a directory there`,
      ),
    ]);
  });
});

describe('images as volumes', () => {
  const pull = async (name: string): Promise<string> =>
    (await bench.world.client.image.pullImage({ image: { image: `${bench.world.registry}/test/${name}:1` } }))
      .imageRef;
  const volume = (image: string, more: Fields<typeof MountSchema> = {}): Fields<typeof MountSchema> => ({
    containerPath: '/v',
    readonly: true,
    image: { image },
    ...more,
  });

  it('show all layers, read-only and noexec; ContainerStatus shows the image’s id', async () => {
    const [models, only] = [await pull('models'), await pull('only')];
    const id = await bench.run({
      mounts: [
        volume(models),
        volume(`${bench.world.registry}/test/only:1`, { containerPath: '/o' }),
        volume(models, { containerPath: '/again' }),
      ],
    });
    expect(await bench.exec(id, 'ls /v/models /o /again/models; cat /v/models/*')).toBe(
      '/again/models:\none\ntwo\n\n/o:\nonly\n\n/v/models:\none\ntwo\none\ntwo\n',
    );
    expect(await bench.exec(id, '/v/run')).toContain('Permission denied');
    expect(await bench.exec(id, 'echo x > /v/new')).toContain('Read-only file system');
    const { status } = await bench.world.client.runtime.containerStatus({ containerId: id });
    expect(status?.mounts.map(({ image, hostPath, readonly }) => [image?.image, hostPath, readonly])).toEqual(
      [
        [models, '', true],
        [only, '', true],
        [models, '', true],
      ],
    );
    expect(status?.mounts[0]?.image?.imageRef).toMatch(
      new RegExp(`^${bench.world.registry}/test/models@sha256:[0-9a-f]{64}$`, 'u'),
    );
    expect((await bench.world.client.image.listImages({})).images.map((image) => image.id)).toEqual(
      expect.arrayContaining([models, only]),
    );
    await bench.end(id);
  });

  it('S45 a sub-path stays in the image, links included; a missing one is reported', async () => {
    const models = await pull('models');
    const id = await bench.run({
      mounts: [
        volume(models, { imageSubPath: 'models' }),
        volume(models, { containerPath: '/l', imageSubPath: 'latest' }),
      ],
    });
    expect(await bench.exec(id, 'ls /v /l')).toBe('/l:\none\ntwo\n\n/v:\none\ntwo\n');
    await bench.end(id);
    for (const imageSubPath of ['nothing', 'models/one/below', 'outside', 'outside/passwd']) {
      const { code, details } = await refusalOf(
        bench.createContainer({ mounts: [volume(models, { imageSubPath })] }),
      );
      expect([code, details]).toEqual([
        codes.unknown,
        expect.stringMatching(
          new RegExp(`^ImageVolumeMountFailed: .*image_sub_path ${imageSubPath} is not in the image$`, 'u'),
        ),
      ]);
    }
    expect(
      await refusalOf(bench.createContainer({ mounts: [volume(models, { imageSubPath: '../x' })] })),
    ).toMatchObject({ code: codes.invalidArgument });
  });

  it('refuse invalid requests and a missing image', async () => {
    const models = await pull('models');
    for (const [mount, field] of [
      [volume(models, { readonly: false }), 'config.mounts[0].readonly'],
      [volume(models, { hostPath: '/etc' }), 'config.mounts[0].host_path'],
      [volume(models, { propagation: 1 }), 'config.mounts[0].propagation'],
      [{ containerPath: '/v', hostPath: '/etc', imageSubPath: 'x' }, 'config.mounts[0].image_sub_path'],
    ] as const) {
      expect(await refusalOf(bench.createContainer({ mounts: [mount] })), field).toMatchObject({
        code: codes.invalidArgument,
        details: expect.stringContaining(field) as string,
      });
    }
    const missing = await refusalOf(bench.createContainer({ mounts: [volume('nobody/has:this')] }));
    expect(missing).toMatchObject({
      code: codes.unknown,
      details: expect.stringMatching(
        /^ImageVolumeMountFailed: .*image nobody\/has:this: not found$/u,
      ) as string,
    });
  });

  it('protect their image while they are in use, and are gone with their container, also after kill -9', async () => {
    const models = await pull('models');
    const id = await bench.run({ mounts: [volume(models)], command: ['sleep', '3600'] });
    expect(await refusalOf(bench.world.client.image.removeImage({ image: { image: models } }))).toMatchObject(
      {
        code: codes.failedPrecondition,
        details: expect.stringContaining(id) as string,
      },
    );
    const mounts = (): number =>
      readFileSync('/proc/self/mountinfo', 'utf8')
        .split('\n')
        .filter((line) => line.includes(`/containers/${id}/volumes/`)).length;
    expect(mounts()).toBe(1);
    // whose mounts these are stands in no other place than in their path
    const check = spawnSync(bench.world.instance.argv[0], ['check', ...bench.world.instance.options], {
      encoding: 'utf8',
    });
    expect(check.stdout + check.stderr).not.toContain('/volumes/');
    expect([check.status, check.stderr]).toEqual([0, '']);
    await bench.world.instance.kill();
    await bench.world.instance.start();
    expect(await refusalOf(bench.world.client.image.removeImage({ image: { image: models } }))).toMatchObject(
      {
        code: codes.failedPrecondition,
      },
    );
    expect(await bench.exec(id, 'cat /v/models/one')).toBe('one\n');
    await bench.world.client.runtime.stopContainer({ containerId: id, timeout: 0n });
    // the answer to the stop does not wait for the release
    await expect.poll(mounts).toBe(0);
    await bench.world.client.image.removeImage({ image: { image: models } });
    await bench.end(id);
    expect((await bench.world.client.image.imageStatus({ image: { image: models } })).image).toBeUndefined();
  });
});
