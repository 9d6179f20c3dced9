// The commands around images against a running daemon, and what the kubelet learns about pinned ones.
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { imageOf, layerOf } from '../../../scripts/support/image.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';
import { withoutPulledLines } from './pulled-lines.ts';

const program = join(checkout, 'bin/troupe');
const small = (text: string) =>
  imageOf({ Env: [`WORD=${text}`] }, [layerOf([{ type: 'file', path: 'file', mode: 0o644, content: text }])]);

describePods('troupe images, gc, pull, inspect', () => {
  let world: World;
  beforeAll(async () => {
    const images = new Map([
      ['keep/pause:1', small('pinned')],
      ['idle/one:1', small('idle')],
    ]);
    world = await makeWorld({ name: 'imgs', images, pinned: ['*keep/pause*'] });
  });
  afterAll(async () => {
    await world?.close();
  });

  const troupe = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await run([program, ...args, '--state', world.instance.state]);
    expect(withoutPulledLines(stderr), args.join(' ')).toBe('');
    expect(code, args.join(' ')).toBe(0);
    return stdout;
  };

  it('used, pinned and idle images are listed with their reasons, and only the idle one is pruned', async () => {
    const { image, runtime } = world.client;
    const [used, pinned, idle] = [
      await world.pull(),
      (await troupe('pull', `${world.registry}/keep/pause:1`)).trim(),
      (await troupe('pull', `${world.registry}/idle/one:1`)).trim(),
    ];
    const listed = (await image.listImages({})).images;
    expect(Object.fromEntries(listed.map((one) => [one.id, one.pinned]))).toEqual({
      [used]: false,
      [pinned]: true,
      [idle]: false,
    });
    expect((await image.imageStatus({ image: { image: pinned } })).image?.pinned).toBe(true);

    const config = sandboxConfig({ name: 'web', logDirectory: join(world.logs, 'web') });
    const podSandboxId = (await runtime.runPodSandbox({ config })).podSandboxId;
    const { containerId } = await runtime.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: containerConfig({ name: 'app', image: used, command: untilTermed(0) }),
    });

    const reported = JSON.parse(await troupe('images', '--json')) as {
      images: { id: string; pinned: boolean; keepers: string[]; layers: { keepers: string[] }[] }[];
    };
    expect(Object.fromEntries(reported.images.map((one) => [one.id, [one.pinned, one.keepers]]))).toEqual({
      [used]: [false, [`container/${containerId}`]],
      [pinned]: [true, []],
      [idle]: [false, []],
    });
    expect(reported.images.find(({ id }) => id === used)?.layers[0]?.keepers).toEqual([
      `image/${used}`,
      `container/${containerId}`,
    ]);
    expect(await troupe('images', '--layers')).toMatch(/^IMAGE +ID +SIZE +PULLED +KEPT BY$/mu);

    expect(await troupe('gc', '--dry-run')).toMatch(
      new RegExp(`^would remove ${world.registry}/idle/one:1 \\(\\w+, .*\\)\\n$`, 'u'),
    );
    expect((await image.listImages({})).images.length).toBe(3);
    expect(JSON.parse(await troupe('gc', '--json'))).toMatchObject({
      dryRun: false,
      removed: [{ id: idle }],
    });
    expect((await image.listImages({})).images.map(({ id }) => id).toSorted()).toEqual(
      [used, pinned].toSorted(),
    );
    expect(await troupe('gc')).toBe('no unused image\n');
    await runtime.removePodSandbox({ podSandboxId });
  });

  it('inspect shows manifest and config and pulls nothing; a missing image fails with its name', async () => {
    const before = (await world.client.image.listImages({})).images.length;
    const name = `${world.registry}/idle/one:1`;
    const { stdout, stderr } = await run([...inspect(), name]);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toMatchObject({
      reference: name,
      id: expect.stringMatching(/^sha256:/u) as string,
      manifest: { layers: [{}] },
      config: { config: { Env: ['WORD=idle'] } },
    });
    expect((await world.client.image.listImages({})).images.length).toBe(before);
    const missing = await run([...inspect(), `${world.registry}/not/there:1`]);
    expect([missing.code, missing.stderr]).toEqual([3, expect.stringContaining('not/there:1')]);
    const pulled = await run([
      program,
      'pull',
      `${world.registry}/not/there:1`,
      '--state',
      world.instance.state,
    ]);
    expect([pulled.code, pulled.stderr]).toEqual([3, expect.stringContaining('not/there:1')]);
  });

  /** With the instance's own configuration, which names its registries.conf. */
  const inspect = (): [string, ...string[]] => [program, 'inspect', ...configOptions(world.instance.argv)];
});

function configOptions(argv: readonly string[]): readonly string[] {
  const at = argv.indexOf('--config');
  return argv.slice(at, at + 2);
}
