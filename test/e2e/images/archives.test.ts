// troupe import and export beside skopeo, which fills what we take and reads what we give.
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { imageOf, layerOf } from '../../../scripts/support/image.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { ContainersTools, noContainersTools } from '../../support/tools/skopeo.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig } from '../support/pods.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';
import { unless } from '../../support/skips/unless.ts';
import { withoutPulledLines } from './pulled-lines.ts';

const program = join(checkout, 'bin/troupe');

const missing = noContainersTools();
if (missing !== undefined) process.stdout.write(`skipped: import and export: ${missing}\n`);

describePods('troupe import, export', () => {
  if (missing !== undefined) {
    unless(it, missing)('by tools of others', () => undefined);
    return;
  }
  let world: World;
  let work: string;
  let tools: ContainersTools;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'troupe-archives-'));
    tools = new ContainersTools(join(work, 'tools'));
    const second = imageOf({ Env: ['WORD=second'] }, [
      layerOf([{ type: 'file', path: 'file', mode: 0o644, content: 'second' }]),
    ]);
    world = await makeWorld({ name: 'arch', images: new Map([['test/second:1', second]]) });
  });
  afterAll(async () => {
    await world?.close();
    if (work !== undefined) await rm(work, { recursive: true, force: true });
  });

  const troupe = (...args: string[]): ReturnType<typeof run> =>
    run([
      program,
      ...args,
      '--config',
      optionOf('--config'),
      '--root',
      world.instance.root,
      '--state',
      world.instance.state,
    ]);
  const optionOf = (name: string): string => world.instance.argv[world.instance.argv.indexOf(name) + 1] ?? '';
  const good = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await troupe(...args);
    expect([code, withoutPulledLines(stderr)], args.join(' ')).toEqual([0, '']);
    return stdout.trim();
  };
  const copy = (from: string, to: string, ...more: string[]): Promise<void> => tools.copy(from, to, ...more);
  const tags = async (): Promise<string[]> =>
    (await world.client.image.listImages({})).images.flatMap(({ repoTags }) => repoTags).toSorted();
  const forget = async (): Promise<void> => {
    for (const { id } of (await world.client.image.listImages({})).images)
      await world.client.image.removeImage({ image: { image: id } });
  };
  const configDigest = async (from: string): Promise<string> => {
    return (JSON.parse(await tools.inspect('--raw', from)) as { config: { digest: string } }).config.digest;
  };

  /** Runs the image's own busybox. */
  async function runs(imageRef: string, name: string): Promise<void> {
    const { runtime } = world.client;
    const config = sandboxConfig({ name, logDirectory: join(world.logs, name) });
    const podSandboxId = (await runtime.runPodSandbox({ config })).podSandboxId;
    const { containerId } = await runtime.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: containerConfig({ name: 'app', image: imageRef, command: ['/bin/sleep', '1000'] }),
    });
    await runtime.startContainer({ containerId });
    const { stdout } = await runtime.execSync({ containerId, cmd: ['/bin/echo', 'hello'], timeout: 30n });
    expect(Buffer.from(stdout).toString()).toBe('hello\n');
    await runtime.removePodSandbox({ podSandboxId });
  }

  it.each([
    ['oci', 'oci:layout:v1', []],
    ['oci-archive', 'oci-archive:layout.tar:v1', []],
    ['docker-archive', 'docker-archive:saved.tar:example.org/box:v1', []],
    ['dir', 'dir:plain', []],
    ['dir of schema 2', 'dir:schema2', ['--format', 'v2s2']],
  ] as const)('%s filled by skopeo is imported and runs', async (_name, place, options) => {
    await forget();
    const [transport = '', path = '', ...choice] = place.split(':');
    const target = `${transport}:${join(work, path)}${choice.length === 0 ? '' : `:${choice.join(':')}`}`;
    await copy(`docker://${world.imageName}`, target, ...options);
    const id = await good('import', target, '--name', 'example.org/imported:1');
    const listed = (await world.client.image.listImages({})).images;
    expect(listed.map(({ id: one, repoTags }) => [one, repoTags])).toEqual([
      [id, ['example.org/imported:1']],
    ]);
    expect(id).toBe(await configDigest(target));
    await runs(id, `from-${path.replaceAll('.', '-')}`);
    // what is found by the path is the same
    expect(await good('import', join(work, path), '--name', 'example.org/again:1')).toBe(id);
    expect(await readdir(join(world.instance.state, 'imports'))).toEqual([]);
  });

  it('an archive of several images is imported, each under its own names', async () => {
    await forget();
    const target = join(work, 'several.tar');
    await copy(`docker://${world.imageName}`, `docker-archive:${target}:example.org/one:1`);
    const one = await good('import', `docker-archive:${target}`);
    await good('import', `oci:${join(work, 'layout')}`, '--name', 'example.org/two:2');
    expect(await tags()).toEqual(['example.org/one:1', 'example.org/two:2']);
    expect((await world.client.image.imageStatus({ image: { image: 'example.org/one:1' } })).image?.id).toBe(
      one,
    );
  });

  it.each([
    ['oci', 'oci:out'],
    ['oci-archive', 'oci-archive:out.tar'],
    ['docker-archive', 'docker-archive:out-docker.tar'],
    ['dir', 'dir:out-dir'],
  ])('%s is exported, read by skopeo, and imported again as the same image', async (_name, place) => {
    await forget();
    const [transport = '', path = ''] = place.split(':');
    const target = `${transport}:${join(work, path)}`;
    await world.pull();
    const id = await good('export', world.imageName, target);
    const there = join(work, `copied-${path}`);
    await copy(target, `dir:${there}`);
    const manifest = JSON.parse(await readFile(join(there, 'manifest.json'), 'utf8')) as {
      config: { digest: string };
    };
    expect(manifest.config.digest).toBe(id);
    await forget();
    expect(await good('import', target, '--name', 'example.org/back:1')).toBe(id);
    await runs(id, `back-${path.replaceAll('.', '-')}`);
    // the second time everything is as it was the first time
    expect(await good('export', 'example.org/back:1', `dir:${join(work, `second-${path}`)}`)).toBe(
      await configDigest(`dir:${join(work, `second-${path}`)}`),
    );
    const again = JSON.parse(
      await good('export', 'example.org/back:1', `oci:${join(work, `third-${path}`)}`, '--json'),
    ) as { diffIds: string[] };
    const config = JSON.parse(await tools.inspect('--config', target)) as { rootfs: { diff_ids: string[] } };
    expect(again.diffIds).toEqual(config.rootfs.diff_ids);
  });

  it('an unsupported import or export is refused with the reason', async () => {
    await forget();
    await world.pull();
    const said = async (...args: string[]): Promise<[number | null, string]> => {
      const { code, stderr } = await troupe(...args);
      return [code, stderr];
    };
    expect(await said('import', join(work, 'nothing'), '--name', 'a/b:1')).toEqual([
      3,
      expect.stringContaining(`import ${join(work, 'nothing')}: not found`) as string,
    ]);
    expect(await said('import', world.logs, '--name', 'a/b:1')).toEqual([
      2,
      expect.stringContaining('not an OCI layout') as string,
    ]);
    expect(await said('import', `oci:${join(work, 'layout')}`)).toEqual([
      2,
      expect.stringContaining('--name') as string,
    ]);
    expect(await said('import', `oci:${join(work, 'layout')}:other`, '--name', 'a/b:1')).toEqual([
      3,
      expect.stringContaining('image other not found; available: v1') as string,
    ]);
    expect(await said('export', 'example.org/none:1', join(work, 'never'))).toEqual([
      3,
      expect.stringContaining('image not found') as string,
    ]);
    expect(await said('export', world.imageName, world.logs)).toEqual([
      1,
      expect.stringContaining('the target exists') as string,
    ]);
    expect(existsSync(join(work, 'never'))).toBe(false);
    expect((await readdir(work)).filter((name) => name.startsWith('.troupe-export'))).toEqual([]);
  });

  it('S60 a layer that does not match its manifest is not imported, and no name of the image is left', async () => {
    await forget();
    const layout = join(work, 'spoilt');
    await copy(`docker://${world.registry}/test/second:1`, `oci:${layout}:v1`);
    const blobs = join(layout, 'blobs/sha256');
    const sizes = await Promise.all(
      (await readdir(blobs)).map(async (name) => ({ name, text: await readFile(join(blobs, name)) })),
    );
    const layer = sizes.find(({ text }) => text.readUInt16BE(0) === 0x1f8b) ?? expect.fail('no layer');
    layer.text[layer.text.length - 1] = (layer.text.at(-1) ?? 0) ^ 1;
    await writeFile(join(blobs, layer.name), layer.text);
    const { code, stderr } = await troupe('import', `oci:${layout}`, '--name', 'example.org/spoilt:1');
    expect([code, stderr]).toEqual([1, expect.stringContaining(`sha256:${layer.name}`) as string]);
    expect(await tags()).toEqual([]);
  });
});
