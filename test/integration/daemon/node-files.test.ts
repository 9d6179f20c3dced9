// F95: a daemon that is started on a node whose files are all bad at once; and what it does once they are good.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { criClient, type CriClient } from '../../../scripts/support/cri-client.ts';
import { PodSandboxConfigSchema } from '../../../src/gen/runtime/v1/api_pb.ts';
import { injects } from '../../support/faults/injects.ts';
import { type Instance, makeInstance } from '../../support/instance.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';

const tornFiles = injects('F95', 'torn files of the node at the start of a daemon');

const TORN = '[[registry]]\nlocation = "r.exam';

unless(describe, notRoot())('F95 a node with bad files', () => {
  let instance: Instance;
  let client: CriClient;

  beforeAll(async () => {
    instance = await makeInstance({
      name: 'nfi',
      network: 'host-only',
      registriesConf: TORN,
      imageSettings: (directory) => [
        `signature_policy = "${directory}/policy.json"`,
        `auth_files = ["${directory}/auth.json"]`,
      ],
      config: (directory) => `[runtime]\ncdi_dirs = ["${directory}/cdi"]\nmonitor = "${directory}/conmon"\n`,
    });
    const { directory } = instance;
    mkdirSync(join(directory, 'troupe.toml.d'));
    mkdirSync(join(directory, 'cdi'));
    for (const name of ['troupe.toml.d/10.toml', 'policy.json', 'auth.json', 'cdi/v.json'])
      writeFileSync(join(directory, name), '{\n"torn');
    await instance.start();
    client = criClient(instance.socket);
  });

  afterAll(async () => {
    client.close();
    await instance.remove();
  });

  async function degraded(): Promise<string> {
    const { status } = await client.runtime.status({});
    return status?.conditions.find(({ type }) => type === 'NodeFilesUsable')?.message ?? '';
  }

  it('starts, serves, and names each file', async () => {
    const { directory } = instance;
    await expect.poll(degraded).toContain(`${directory}/registries.conf: line 2: `);
    expect((await client.runtime.version({})).runtimeName).toBe('troupe');
    expect((await client.runtime.listContainers({})).containers).toEqual([]);
    const log = await instance.log();
    for (const name of [
      'troupe.toml.d/10.toml',
      'policy.json',
      'auth.json',
      'cdi/v.json',
      'registries.conf',
    ]) {
      expect(
        log
          .split('\n')
          .filter((line) => line.includes('"degraded"') && line.includes(`"subject":"${directory}/${name}"`)),
      ).toHaveLength(1);
      tornFiles.happened();
    }
  });

  it('refuses requests that a torn file may forbid or that need a missing program, with the reason', async () => {
    const { directory } = instance;
    await expect(client.image.pullImage({ image: { image: '127.0.0.1:1/a/b:1' } })).rejects.toThrow(
      `${directory}/registries.conf: line 2`,
    );
    const { runtimeHandlers, status } = await client.runtime.status({});
    const ready = status?.conditions.find(({ type }) => type === 'RuntimeReady');
    expect([runtimeHandlers.length > 0, ready?.status, ready?.message]).toEqual([
      true,
      false,
      expect.stringContaining(`${directory}/conmon`),
    ]);
    const metadata = { name: 'a', namespace: 'b', uid: 'c', attempt: 0 };
    const config = create(PodSandboxConfigSchema, { metadata, logDirectory: `${directory}/logs`, linux: {} });
    await expect(client.runtime.runPodSandbox({ config })).rejects.toThrow(`${directory}/conmon`);
  });

  it('uses the files once they are valid, with or without a SIGHUP', async () => {
    const { directory } = instance;
    writeFileSync(join(directory, 'registries.conf'), '');
    writeFileSync(join(directory, 'policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
    writeFileSync(join(directory, 'auth.json'), '{}');
    writeFileSync(
      join(directory, 'cdi/v.json'),
      '{"cdiVersion":"0.6.0","kind":"v.example/c","devices":[{"name":"d","containerEdits":{"env":["A=b"]}}]}',
    );
    writeFileSync(join(directory, 'troupe.toml.d/10.toml'), '[runtime]\nmonitor = "conmon"\n');
    process.kill(instance.pid(), 'SIGHUP');
    await expect.poll(degraded).toBe('');
    await expect(client.image.pullImage({ image: { image: '127.0.0.1:1/a/b:1' } })).rejects.not.toThrow(
      'registries.conf',
    );
  });
});
