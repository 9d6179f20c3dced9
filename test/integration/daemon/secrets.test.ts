/**
 * S91: secrets go through a daemon in every way there is, which is killed in between and finds damaged and older
 * journals; afterwards every byte below its root is searched for them, and below its state once all pods are gone.
 */
import { create } from '@bufbuild/protobuf';
import { appendFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { recordedSpec } from '../../../src/actors/effects/recorded.ts';
import type { ContainerId, SandboxId } from '../../../src/base/ids.ts';
import { ContainerConfigSchema, KeyValueSchema } from '../../../src/gen/runtime/v1/api_pb.ts';
import { introspectionClient } from '../../../src/introspection/client.ts';
import { frame } from '../../../src/journal/format.ts';
import { canary, findBelow, findInBytes } from '../../support/canaries.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../../e2e/support/pods.ts';
import type { SandboxConfig } from '../../e2e/support/pods.ts';
import { makeWorld } from '../../e2e/support/world.ts';
import type { World } from '../../e2e/support/world.ts';
import { containerSpec, imageId } from '../../unit/actors/fixtures.ts';
import { closeWorld } from './pod.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';

const secret = {
  env: canary('env'),
  binary: canary('binary-env'),
  arg: canary('arg'),
  exec: canary('exec'),
  failedExec: canary('failed-exec'),
  streamed: canary('streamed-exec'),
  user: canary('user'),
  password: canary('password'),
  token: canary('token'),
  reference: canary('reference'),
  proxyUser: canary('proxy-user'),
  proxy: canary('proxy'),
  older: canary('older'),
};
const all = Object.values(secret);
/** Of the machine's administrator, in the files of the test itself. */

unless(describe, notRoot())('secrets', () => {
  let world: World;
  let made = 0;

  beforeAll(async () => {
    world = await makeWorld({
      name: 'secr',
      network: 'host-only',
      imageSettings: () => [
        'signature_policy = ""',
        `http_proxy = "http://${secret.proxyUser}:${secret.proxy}@127.0.0.1:9"`,
        'no_proxy = "127.0.0.1"',
      ],
    });
  });

  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
  });

  const found = (): Promise<readonly string[]> => findBelow(world.instance.root, all);
  const journalFile = async (): Promise<string> => {
    const directory = join(world.instance.root, 'journal');
    const [name = ''] = (await readdir(directory))
      .filter((one) => /^journal\.\d+$/u.test(one))
      .toSorted((a, b) => Number(b.slice(8)) - Number(a.slice(8)));
    return join(directory, name);
  };

  async function makePod(): Promise<{ readonly sandboxId: string; readonly config: SandboxConfig }> {
    const name = `pod-${(made += 1)}`;
    const config = sandboxConfig({ name, logDirectory: join(world.logs, name), hostNetwork: true });
    return { sandboxId: (await world.client.runtime.runPodSandbox({ config })).podSandboxId, config };
  }

  async function makeContainer(
    { sandboxId, config }: Awaited<ReturnType<typeof makePod>>,
    name: string,
    command: readonly string[],
  ): Promise<string> {
    const container = create(
      ContainerConfigSchema,
      containerConfig({ name, image: await world.pull(), command, hostNetwork: true }),
    );
    container.args = [secret.arg];
    container.envs = [
      create(KeyValueSchema, { key: 'PASSWORD', value: Buffer.from(secret.env) }),
      create(KeyValueSchema, {
        key: 'BYTES',
        value: Buffer.concat([Buffer.from(secret.binary), Buffer.from([0xc3, 0xa9])]),
      }),
    ];
    return (
      await world.client.runtime.createContainer({
        podSandboxId: sandboxId,
        config: container,
        sandboxConfig: config,
      })
    ).containerId;
  }

  /**
   * One that runs and was asked for execs of all kinds, one that ended, one that could not be created, one that was not
   * started.
   */
  async function churn(): Promise<readonly string[]> {
    const { runtime } = world.client;
    const pod = await makePod();
    const running = await makeContainer(pod, 'running', untilTermed(0));
    await runtime.startContainer({ containerId: running });
    const { stdout } = await runtime.execSync({
      containerId: running,
      cmd: ['sh', '-c', 'echo "$PASSWORD"', secret.exec],
      timeout: 60n,
    });
    expect(Buffer.from(stdout).toString().trim()).toBe(secret.env);
    await runtime
      .execSync({ containerId: running, cmd: ['/not/there', secret.failedExec], timeout: 60n })
      .catch(() => undefined);
    await runtime.exec({ containerId: running, cmd: ['echo', secret.streamed], stdout: true, stderr: true });
    await expect(makeContainer(pod, 'failing', ['/not/there'])).rejects.toThrow(/not\/there/u);
    const ended = await makeContainer(pod, 'ended', ['sh', '-c', 'exit 3']);
    await runtime.startContainer({ containerId: ended });
    await makeContainer(pod, 'created', ['sleep', '3600']);
    return [pod.sandboxId];
  }

  async function pulls(): Promise<void> {
    const { image } = world.client;
    const auth = {
      username: secret.user,
      password: secret.password,
      auth: '',
      serverAddress: '',
      identityToken: '',
      registryToken: '',
    };
    await image.pullImage({ image: { image: world.imageName }, auth });
    await image.pullImage({
      image: { image: world.imageName },
      auth: { ...auth, username: '', password: '', registryToken: secret.token },
    });
    for (const name of [
      `http://u:${secret.reference}@127.0.0.1/a/b:1`,
      `u:${secret.reference}@127.0.0.1/a/b:1`,
    ]) {
      const refused = await image.pullImage({ image: { image: name } }).then(
        () => '',
        (thrown: unknown) => String(thrown),
      );
      expect(refused).toMatch(/INVALID_ARGUMENT/u);
      expect(refused).not.toContain(secret.reference);
    }
  }

  /** As versions before this one wrote it; no pod has it, so a start takes it away. */
  const olderIntent = (digit: string, sandboxId: string): Uint8Array => {
    const spec = {
      ...recordedSpec(containerSpec()),
      key: { sandboxId: sandboxId as SandboxId, name: `older-${digit}`, attempt: 0 },
      command: ['x'],
      args: [secret.older],
      env: [{ name: 'A', value: secret.older }],
    };
    const record = {
      type: 'container.intent',
      id: digit.repeat(64) as ContainerId,
      spec,
      image: { id: imageId(), ref: 'x', layers: [] },
      createdAtNs: 1n,
    };
    return frame(record as never);
  };

  it('S91 S92 no secret is below root after churn, kills, an older and a damaged journal, none in outputs, none below state once all is removed', async () => {
    const { instance, client } = world;
    await pulls();
    const pods = [...(await churn())];
    expect(await found()).toEqual([]);

    // where they must be while the containers exist: this proves that the search finds them
    const inState = await findBelow(instance.state, all);
    for (const one of [secret.env, secret.binary, secret.arg])
      expect(inState.filter((line) => line.includes(one))).not.toEqual([]);

    // in the middle of an exec, whose file is there
    const [running] = (
      await client.runtime.listContainers({ filter: { podSandboxId: pods[0] ?? '' } })
    ).containers.filter(({ metadata }) => metadata?.name === 'running');
    const cut = client.runtime
      .execSync({ containerId: running?.id ?? '', cmd: ['sh', '-c', 'sleep 3600', secret.exec], timeout: 0n })
      .catch(() => undefined);
    await expect.poll(() => findBelow(instance.state, [secret.exec])).not.toEqual([]);
    await instance.kill();
    await cut;
    expect(await found()).toEqual([]);
    await instance.start();
    pods.push(...(await churn()));

    await instance.kill();
    await appendFile(await journalFile(), olderIntent('e', pods[0] ?? ''));
    expect(await found()).not.toEqual([]);
    await instance.start();
    expect(await found()).toEqual([]);

    await instance.kill();
    const path = await journalFile();
    const damaged = Buffer.concat([
      await readFile(path),
      olderIntent('d', pods[0] ?? ''),
      olderIntent('f', pods[0] ?? ''),
    ]);
    const at = damaged.length - olderIntent('f', pods[0] ?? '').length - 10;
    damaged[at] = (damaged[at] ?? 0) ^ 0xff;
    await writeFile(path, damaged);
    await instance.start();
    expect(
      (await readdir(join(instance.root, 'journal'))).filter((name) => name.endsWith('.damaged')),
    ).toHaveLength(1);
    expect(await found()).toEqual([]);

    await shown();
    for (const podSandboxId of pods) {
      await client.runtime.stopPodSandbox({ podSandboxId });
      await client.runtime.removePodSandbox({ podSandboxId });
    }
    expect(await found()).toEqual([]);
    expect(await findBelow(instance.state, all)).toEqual([]);
    await instance.terminate();
    expect(await findBelow(instance.root, all)).toEqual([]);
    await instance.start();
  });

  /** Everything that shows something, while pods are there. */
  async function shown(): Promise<void> {
    const { instance, client } = world;
    const show = introspectionClient(join(instance.state, 'introspection.sock'), EVENT_MS);
    const troupe = (
      ...args: readonly string[]
    ): Promise<{ readonly stdout: string; readonly stderr: string }> =>
      run([join(checkout, 'bin/troupe'), ...args, '--state', instance.state]);
    const { actors } = await show.list({});
    const texts = [
      JSON.stringify((await client.runtime.status({ verbose: true })).info),
      (await show.status({})).configJson,
      JSON.stringify(actors, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
      await instance.log(),
    ];
    for (const { id } of (await client.runtime.listContainers({})).containers)
      texts.push(
        JSON.stringify((await client.runtime.containerStatus({ containerId: id, verbose: true })).info),
      );
    for (const args of [
      ['config'],
      ['config', '--json'],
      ['status'],
      ['status', '--json'],
      ['ps'],
      ['ps', '--json'],
      ['inspect', world.imageName, '--json'],
    ]) {
      const { stdout, stderr } = await troupe(...args);
      texts.push(stdout + stderr);
    }
    texts.push((await run([join(checkout, 'bin/troupe'), 'config', ...instance.options])).stdout);
    // the arguments of a container are part of its status with the peers, too; of the rest nothing is
    const never = all.filter((one) => one !== secret.arg);
    for (const text of texts) expect(findInBytes(Buffer.from(text), never)).toEqual([]);
    expect(texts.filter((text) => text.includes('***@127.0.0.1:9')).length).toBeGreaterThan(3);
  }
});
