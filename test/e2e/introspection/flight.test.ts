// The flight recorder of a running daemon: traces, and a support bundle that replays and holds no secret (S91, S92).
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleFiles, readRecording } from '../../../src/daemon/cli/read-recording.ts';
import { ContainerConfigSchema, KeyValueSchema } from '../../../src/gen/runtime/v1/api_pb.ts';
import { replay } from '../../sim/replay.ts';
import { canary, findInBytes } from '../../support/canaries.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';

const secrets = ['env', 'argument', 'annotation', 'label'].map(canary);
const [ENV = '', ARGUMENT = '', ANNOTATION = '', LABEL = ''] = secrets;

let world: World;
let directory: string;
let pod: string;
let container: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'troupe-bundle-'));
  world = await makeWorld({ name: 'flrec' });
  const image = await world.pull();
  const { runtime } = world.client;
  const config = sandboxConfig({
    name: 'web',
    logDirectory: join(world.logs, 'web'),
    annotations: { secret: ANNOTATION },
  });
  config.labels = { ...config.labels, secret: LABEL };
  pod = (await runtime.runPodSandbox({ config })).podSandboxId;
  const request = create(
    ContainerConfigSchema,
    containerConfig({ name: 'app', image, command: untilTermed(3), annotations: { secret: ANNOTATION } }),
  );
  request.envs = [create(KeyValueSchema, { key: 'PASSWORD', value: Buffer.from(ENV) })];
  request.args = [ARGUMENT];
  container = (await runtime.createContainer({ podSandboxId: pod, sandboxConfig: config, config: request }))
    .containerId;
  await runtime.startContainer({ containerId: container });
  // a creation that fails, and whose reason quotes the command
  const broken = create(
    ContainerConfigSchema,
    containerConfig({ name: 'broken', image, command: [`/${ARGUMENT}`] }),
  );
  await expect(
    runtime.createContainer({ podSandboxId: pod, sandboxConfig: config, config: broken }),
  ).rejects.toThrow(ARGUMENT);
});

afterAll(async () => {
  await world?.close();
  await rm(directory, { recursive: true, force: true });
});

const troupe = (...args: string[]) => {
  const { argv } = world.instance;
  const at = argv.indexOf('serve');
  return run([argv[at - 1] ?? '', ...args, ...argv.slice(at + 1)]);
};

describe('troupe trace', () => {
  it('draws the start of a pod: calls, the pauses of the client, states, effects and waits', async () => {
    const { stdout, stderr, code } = await troupe('trace', 'web');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^pod default\/web: \d+\.\d ms from /u);
    for (const word of ['RunPodSandbox', 'CreateContainer', 'StartContainer', '(the client waits)'])
      expect(stdout).toContain(word);
    expect(stdout).toMatch(/pod: addNetwork/u);
    expect(stdout).toMatch(/app: recordCreated \[disk\]/u);
    expect(stdout).toMatch(/app: provisioning\.rootfs/u);
  });

  it('draws the slowest call of a method, and lists the slowest by name', async () => {
    const call = JSON.parse((await troupe('trace', 'CreateContainer', '--json')).stdout) as {
      episodes: { title: string; totalMs: number; rows: { kind: string }[] }[];
    };
    expect(call.episodes[0]?.title).toMatch(/^CreateContainer of container (?:app|broken), request /u);
    expect(call.episodes[0]?.rows[0]).toMatchObject({ kind: 'call', name: 'CreateContainer', startMs: 0 });
    const slow = JSON.parse((await troupe('trace', '--slowest', '--json')).stdout) as {
      slowest: { name: string; ms: number }[];
    };
    expect(slow.slowest.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['RunPodSandbox', 'addNetwork']),
    );
    expect((await troupe('trace', 'nothing')).code).toBe(3);
  });
});

describe('troupe support-bundle', () => {
  it('S91 S92: holds what a report needs, and no planted secret', async () => {
    const file = join(directory, 'live.tar.gz');
    const { code, stderr } = await troupe('support-bundle', file);
    expect({ code, stderr: stderr.split('\n').filter((line) => !line.includes('without log')) }).toEqual({
      code: 0,
      stderr: [''],
    });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const compressed = await readFile(file);
    expect(findInBytes(gunzipSync(compressed), secrets)).toEqual([]);
    const files = bundleFiles(compressed);
    const json = (name: string): unknown => JSON.parse(files.get(`troupe-support/${name}`) ?? 'null');
    expect(json('status.json')).toMatchObject({ pid: expect.any(Number) });
    expect(json('ps.json')).toMatchObject({ actors: expect.any(Array) });
    expect(json('check.json')).toMatchObject({ daemon: 'running' });
    expect(json('configuration.json')).toMatchObject({ root: world.instance.root });
    expect(json('versions.json')).toMatchObject({ node: process.version });
    expect(json('kernel.json')).toMatchObject({ '/proc/sys/kernel/osrelease': expect.any(String) });
    // an existing file is not overwritten
    expect((await troupe('support-bundle', file)).code).toBe(1);
  });

  it('is written from files when the daemon was killed; says what is left out; replays with the same transitions', async () => {
    await world.client.runtime.stopContainer({ containerId: container, timeout: 0n });
    await world.client.runtime.removePodSandbox({ podSandboxId: pod });
    const recorded = async (): Promise<readonly string[]> =>
      (await readRecording(join(world.instance.root, 'flight'))).entries.flatMap((entry) =>
        entry.kind === 'call' ? [entry.method] : [],
      );
    await expect.poll(recorded).toContain('RemovePodSandbox');
    await world.instance.kill();
    const file = join(directory, 'dead.tar.gz');
    const { code, stderr } = await troupe('support-bundle', file);
    expect(code).toBe(0);
    expect(stderr).toMatch(/without status\.json: /u);
    expect(findInBytes(gunzipSync(await readFile(file)), secrets)).toEqual([]);
    const { entries, unread } = await readRecording(file);
    const { differences, skipped, transitions } = replay(entries);
    expect({ differences, skipped, unread }).toEqual({ differences: [], skipped: 0, unread: 0 });
    expect(transitions).toBeGreaterThan(20);
    const { stdout } = await run(['npm', 'run', '-s', 'sim', '--', '--replay', file], { cwd: checkout });
    expect(stdout).toMatch(/differences 0\n$/u);
    const offline = await troupe('trace', 'web', '--file', file);
    expect(offline.stdout).toContain('RemovePodSandbox');
    await world.instance.start();
    // the memory of this instance is empty, and the pod is gone
    const later = await troupe('trace', 'web');
    expect(later.stdout).toContain('RemovePodSandbox');
    const slow = JSON.parse((await troupe('trace', '--slowest', '--json')).stdout) as {
      slowest: { name: string; title: string }[];
    };
    expect(slow.slowest).toContainEqual(
      expect.objectContaining({ name: 'RunPodSandbox', title: 'pod default/web' }),
    );
  });
});
