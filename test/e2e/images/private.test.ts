// A registry with a password, and credentials that are good for one pull in one namespace; and a policy that rejects.
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { imageOf, layerOf } from '../../../scripts/support/image.ts';
import { namespacedFile } from '../../../src/oci/images/registry/namespaced-credentials.ts';
import { parseReference } from '../../../src/oci/images/model/reference.ts';
import { pushImage, startRegistry, type DockerRegistry } from '../../support/docker-registry/start.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { describePods } from '../support/crictl.ts';
import { sandboxConfig } from '../support/pods.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';

/** bcrypt of "secret". */
const HTPASSWD = 'user:$2b$04$H0nEXr2srisKUkQqoo2PSOHRXkdSBNNcnU3O0QPGSycF2Wq7s8xIC\n';

describePods('private images', () => {
  let work: string;
  let open: DockerRegistry;
  let closed: DockerRegistry;
  let world: World;
  let credentials: string;
  const image = imageOf({ Env: ['WORD=private'] }, [
    layerOf([{ type: 'file', path: 'file', mode: 0o644, content: 'private' }]),
  ]);
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'troupe-private-'));
    credentials = join(work, 'credentials');
    await mkdir(credentials);
    await writeFile(join(work, 'htpasswd'), HTPASSWD);
    const storage = join(work, 'storage');
    open = await startRegistry({ root: join(work, 'open'), storage });
    await pushImage(open.address, 'team/app:1', image);
    closed = await startRegistry({
      root: join(work, 'closed'),
      storage,
      sections: { auth: { htpasswd: { realm: 'test', path: join(work, 'htpasswd') } } },
    });
    world = await makeWorld({
      name: 'priv',
      shortNames: () => `[[registry]]\nlocation = "${closed.address}"\ninsecure = true\n`,
      imageSettings: () => [
        `namespaced_auth_dir = "${credentials}"`,
        `signature_policy = "${join(work, 'policy.json')}"`,
      ],
    });
  });
  afterAll(async () => {
    await world?.close();
    for (const registry of [open, closed]) await registry?.stop();
    if (work !== undefined) await rm(work, { recursive: true, force: true });
  });

  const name = (): string => `${closed.address}/team/app:1`;
  const leave = (namespace: string): Promise<void> =>
    writeFile(
      join(credentials, namespacedFile(namespace, parseReference(name()))),
      JSON.stringify({
        auths: { [closed.address]: { auth: Buffer.from('user:secret').toString('base64') } },
      }),
    );
  const pull = async (namespace: string): Promise<string> => {
    const config = sandboxConfig({ name: 'pod', logDirectory: '' });
    const sandbox = { ...config, metadata: { ...config.metadata, namespace } };
    return (
      await world.client.image.pullImage({
        image: { image: name() },
        sandboxConfig: sandbox as typeof config,
      })
    ).imageRef;
  };

  it('credentials of a namespace serve one pull in it, and no concurrent pull of another namespace', async () => {
    await expect(pull('team')).rejects.toThrow(/authentication required/u);
    await leave('team');
    const [mine, others] = await Promise.allSettled([pull('team'), pull('other')]);
    expect(mine).toEqual({ status: 'fulfilled', value: image.config.digest });
    expect(others).toMatchObject({ status: 'rejected' });
    expect(await readdir(credentials)).toEqual([]);
    await expect(pull('team')).rejects.toThrow(/authentication required/u);
    await world.client.image.removeImage({ image: { image: name() } });
  });

  it('an imported image has to pass the signature policy, too', async () => {
    const archive = join(work, 'app.tar');
    await leave('team');
    await pull('team');
    const options = [
      '--config',
      world.instance.argv[world.instance.argv.indexOf('--config') + 1] ?? '',
      '--root',
      world.instance.root,
      '--state',
      world.instance.state,
    ];
    const troupe = (...args: string[]): ReturnType<typeof run> =>
      run([join(checkout, 'bin/troupe'), ...args, ...options]);
    expect((await troupe('export', name(), archive)).code).toBe(0);
    await writeFile(
      join(work, 'policy.json'),
      JSON.stringify({
        default: [{ type: 'insecureAcceptAnything' }],
        transports: { docker: { 'forbidden.example': [{ type: 'reject' }] } },
      }),
    );
    const { code, stderr } = await troupe('import', archive, '--name', 'forbidden.example/app:1');
    expect([code, stderr]).toEqual([1, expect.stringContaining('SignatureValidationFailed') as string]);
    expect((await troupe('import', archive, '--name', 'allowed.example/app:1')).code).toBe(0);
  });
});
