// Images that other programs have built, pulled from Debian's registry and run; and artifacts, mounted as volumes.
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Blob, Image } from '../../../scripts/support/image.ts';
import { startRegistry, type DockerRegistry } from '../../support/docker-registry/start.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { staticBusybox } from '../../support/tools/debian.ts';
import { ContainersTools, noBuilds } from '../../support/tools/skopeo.ts';
import { describePods, untilHolds } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, type ContainerConfig } from '../support/pods.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';
import { unless } from '../../support/skips/unless.ts';
import { withoutPulledLines } from './pulled-lines.ts';

const missing = noBuilds();
if (missing !== undefined) process.stdout.write(`skipped: images built by others: ${missing}\n`);

/** Layers with owners, links, a removal, a directory made anew, an attribute; settings of every kind. */
const DOCKERFILE = `FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir -p /etc /data/old && echo app:x:4321:4322::/data:/bin/sh > /etc/passwd && echo gone > /data/gone && echo hidden > /data/old/hidden
RUN rm /data/gone && rm -r /data/old && mkdir /data/old && echo new > /data/old/new && ln /data/old/new /data/hard && echo built > /data/file && chown -R 4321:4322 /data
ENV WORD="by buildah"
LABEL org.example.label=value
USER app
WORKDIR /data
STOPSIGNAL SIGINT
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["cat file old/new hard; ls /data /data/old; id -u; id -g; pwd; echo $WORD; echo over"]
`;
const SAID = [
  'built',
  'new',
  'new',
  '/data:',
  'file',
  'hard',
  'old',
  '',
  '/data/old:',
  'new',
  '4321',
  '4322',
  '/data',
  'by buildah',
  'over',
];

describePods('images of others', () => {
  if (missing !== undefined) {
    unless(it, missing)('by tools of others', () => undefined);
    return;
  }
  let work: string;
  let registry: DockerRegistry;
  let tools: ContainersTools;
  let world: World;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'troupe-built-'));
    registry = await startRegistry({ root: join(work, 'registry') });
    tools = new ContainersTools(join(work, 'tools'));
    await mkdir(join(work, 'context'));
    await cp(staticBusybox(), join(work, 'context/busybox'));
    await writeFile(join(work, 'context/Dockerfile'), DOCKERFILE);
    // a layer for each step, as Docker has it; chroot, since this machine may be a container itself
    await tools.buildah(
      'bud',
      '--layers=true',
      '--isolation',
      'chroot',
      '-t',
      'localhost/app:1',
      join(work, 'context'),
    );
    world = await makeWorld({
      name: 'built',
      images: new Map([
        ['model/one:1', artifact({ 'weights.bin': 'numbers\n' })],
        ['model/many:1', artifact({ 'a.txt': 'A\n', 'conf/b.txt': 'B\n' })],
      ]),
      shortNames: () => `[[registry]]\nlocation = "${registry.address}"\ninsecure = true\n`,
    });
  });
  afterAll(async () => {
    await world?.close();
    await registry?.stop();
    if (work !== undefined) await rm(work, { recursive: true, force: true });
  });

  /** What a container of the image says until it ends. */
  async function output(name: string, more: ContainerConfig): Promise<string[]> {
    const { runtime } = world.client;
    const config = sandboxConfig({ name, logDirectory: join(world.logs, name) });
    const podSandboxId = (await runtime.runPodSandbox({ config })).podSandboxId;
    try {
      const { containerId } = await runtime.createContainer({
        podSandboxId,
        sandboxConfig: config,
        config: more,
      });
      await runtime.startContainer({ containerId });
      const log = await untilHolds(join(world.logs, name, 'app/0.log'), ' F over');
      return log
        .trimEnd()
        .split('\n')
        .map((line) => line.split(' ').slice(3).join(' '));
    } finally {
      await runtime.removePodSandbox({ podSandboxId });
    }
  }

  it.each([['oci'], ['v2s2']])(
    'an image built by Buildah from a Dockerfile and pushed as %s can be pulled and run',
    async (format) => {
      const name = `${registry.address}/team/app:${format}`;
      await tools.buildah(
        'push',
        '--tls-verify=false',
        '--format',
        format,
        'localhost/app:1',
        `docker://${name}`,
      );
      const { imageRef } = await world.client.image.pullImage({ image: { image: name } });
      const { image, info } = await world.client.image.imageStatus({
        image: { image: imageRef },
        verbose: true,
      });
      expect(image).toMatchObject({ username: 'app', repoTags: [name] });
      expect(info['info']).toContain('"org.example.label":"value"');
      expect(
        await output(`buildah-${format}`, {
          ...containerConfig({ name: 'app', image: imageRef, command: [] }),
        }),
      ).toEqual(SAID);
      await world.client.image.removeImage({ image: { image: imageRef } });
    },
  );

  it('images saved as by Docker can be imported and run', async () => {
    await tools.buildah(
      'push',
      'localhost/app:1',
      `docker-archive:${join(work, 'saved.tar')}:example.org/app:2`,
    );
    const { code, stderr } = await run([
      join(checkout, 'bin/troupe'),
      'import',
      join(work, 'saved.tar'),
      '--state',
      world.instance.state,
    ]);
    expect([code, withoutPulledLines(stderr)]).toEqual([0, '']);
    expect(
      await output('docker', {
        ...containerConfig({ name: 'app', image: 'example.org/app:2', command: [] }),
      }),
    ).toEqual(SAID);
    await world.client.image.removeImage({ image: { image: 'example.org/app:2' } });
  });

  it('artifacts can be pulled, listed, mounted and removed, but not run', async () => {
    const { image, runtime } = world.client;
    const busybox = await world.pull();
    const [one, many] = [`${world.registry}/model/one:1`, `${world.registry}/model/many:1`];
    const ids = await Promise.all(
      [one, many].map(async (name) => (await image.pullImage({ image: { image: name } })).imageRef),
    );
    const listed = (await image.listImages({})).images.filter(({ id }) => ids.includes(id));
    expect(listed.flatMap(({ repoTags }) => repoTags).toSorted()).toEqual([many, one].toSorted());
    expect(listed.every(({ size }) => size > 0n)).toBe(true);
    expect((await image.imageStatus({ image: { image: one } })).image?.id).toBe(ids[0]);

    const mount = (containerPath: string, name: string) => ({
      containerPath,
      image: { image: name },
      readonly: true,
    });
    const config = containerConfig({
      name: 'app',
      image: busybox,
      command: [
        'sh',
        '-c',
        'cat /one/weights.bin; cd /many; cat a.txt conf/b.txt; find . -type f | sort; touch x 2>/dev/null || echo read-only; echo over',
      ],
    });
    const said = await output('artifacts', {
      ...config,
      mounts: [mount('/one', one), mount('/many', many)],
    } as ContainerConfig);
    expect(said).toEqual(['numbers', 'A', 'B', './a.txt', './conf/b.txt', 'read-only', 'over']);

    const sandbox = sandboxConfig({ name: 'as-program', logDirectory: join(world.logs, 'as-program') });
    const podSandboxId = (await runtime.runPodSandbox({ config: sandbox })).podSandboxId;
    await expect(
      runtime.createContainer({
        podSandboxId,
        sandboxConfig: sandbox,
        config: containerConfig({ name: 'app', image: one, command: ['/weights.bin'] }),
      }),
    ).rejects.toThrow(/is an artifact/u);
    await runtime.removePodSandbox({ podSandboxId });

    for (const name of [one, many]) await image.removeImage({ image: { image: name } });
    expect((await image.listImages({})).images.map(({ id }) => id)).toEqual([busybox]);
  });
});

/** An artifact of these files, as ORAS pushes one. */
function artifact(files: Readonly<Record<string, string>>): Image {
  const blobOf = (mediaType: string, text: string): Blob => ({
    mediaType,
    bytes: Buffer.from(text),
    digest: `sha256:${createHash('sha256').update(text).digest('hex')}`,
  });
  const part = ({ mediaType, digest, bytes }: Blob): object => ({ mediaType, digest, size: bytes.length });
  const config = blobOf('application/vnd.oci.empty.v1+json', '{}');
  const blobs = Object.values(files).map((text) => blobOf('application/octet-stream', text));
  const layers = Object.keys(files).map((title, at) => ({
    ...part(blobs[at] ?? config),
    annotations: { 'org.opencontainers.image.title': title },
  }));
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = blobOf(
    mediaType,
    JSON.stringify({
      schemaVersion: 2,
      mediaType,
      artifactType: 'application/vnd.example.model',
      config: part(config),
      layers,
    }),
  );
  return { manifest, config, layers: blobs.map((blob) => ({ blob, diffId: blob.digest })) };
}
