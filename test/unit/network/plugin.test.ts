import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { networkLimits } from '../../../src/network/bounds.ts';
import type { PluginCall } from '../../../src/network/plugin.ts';
import {
  cniArgs,
  findExecutable,
  forgetExecutables,
  pluginRequest,
  runPlugin,
  supportedVersions,
} from '../../../src/network/plugin.ts';
import type { Answer, FakePlugins } from './fake-plugins.ts';
import { faultOf } from '../../support/fault-of.ts';
import { fakePlugins, pluginFailure, sandboxId } from './fake-plugins.ts';

let plugins: FakePlugins | undefined;
afterEach(() => plugins?.close());

const id = sandboxId('a');

function setUp(answer: Answer): { plugins: FakePlugins; call: PluginCall } {
  plugins = fakePlugins(() => answer);
  plugins.install('bridge');
  const call: PluginCall = {
    command: 'ADD',
    type: 'bridge',
    pluginDirs: ['/nowhere', plugins.dir],
    attachment: { containerId: id, netnsPath: '/run/netns/x', ifName: 'eth0', cniArgs: 'IgnoreUnknown=1' },
    stdin: { cniVersion: '1.0.0', name: 'net', type: 'bridge' },
    timeoutMs: 1000,
    attempted: 'CNI ADD of sandbox a to network net',
    subject: id,
  };
  return { plugins, call };
}

describe('one run of a plugin', () => {
  it('S64: gives the protocol in the environment and nothing of the daemon', async () => {
    const { plugins: fake, call } = setUp({ stdout: '{}' });
    const ended: number[] = [];
    expect(await runPlugin(fake.runTool, { ...call, onEnd: (ms) => void ended.push(ms) })).toEqual({
      stdout: '{}',
    });
    expect(ended).toEqual([1]);
    expect(fake.seen[0]?.argv).toEqual([join(fake.dir, 'bridge')]);
    expect(fake.seen[0]?.env).toEqual({
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      CNI_COMMAND: 'ADD',
      CNI_CONTAINERID: id,
      CNI_NETNS: '/run/netns/x',
      CNI_IFNAME: 'eth0',
      CNI_ARGS: 'IgnoreUnknown=1',
      CNI_PATH: `/nowhere:${fake.dir}`,
    });
    expect(fake.seen[0]?.stdin).toEqual({ cniVersion: '1.0.0', name: 'net', type: 'bridge' });
  });

  it('finds it again where it was moved to another directory since the last run', async () => {
    const { plugins: fake, call } = setUp({ stdout: '{}' });
    const other = join(fake.dir, 'other');
    mkdirSync(other);
    const both = { ...call, pluginDirs: [other, fake.dir] };
    const gone = new Set<string>();
    const runTool: typeof fake.runTool = async (request) => {
      const [path = ''] = request.argv;
      if (gone.has(path)) throw Object.assign(new Error(`start ${path}`), { code: 'ENOENT' });
      return fake.runTool(request);
    };
    await runPlugin(runTool, both);
    const first = join(fake.dir, 'bridge');
    renameSync(first, join(other, 'bridge'));
    gone.add(first);
    await runPlugin(runTool, both);
    expect(fake.seen.map(({ argv }) => argv[0])).toEqual([first, join(other, 'bridge')]);
  });

  it('uses a file of an earlier directory once the executables are forgotten', async () => {
    const { plugins: fake, call } = setUp({ stdout: '{}' });
    const other = join(fake.dir, 'other');
    mkdirSync(other);
    const both = { ...call, pluginDirs: [other, fake.dir] };
    await runPlugin(fake.runTool, both);
    symlinkSync(join(fake.dir, 'bridge'), join(other, 'bridge'));
    await runPlugin(fake.runTool, both);
    forgetExecutables();
    await runPlugin(fake.runTool, both);
    expect(fake.seen.map(({ argv }) => argv[0])).toEqual([
      join(fake.dir, 'bridge'),
      join(fake.dir, 'bridge'),
      join(other, 'bridge'),
    ]);
  });

  it('names the plugin and the directories when it is absent', async () => {
    const { plugins: fake, call } = setUp({});
    const fault = await faultOf(runPlugin(fake.runTool, { ...call, type: 'calico' }));
    expect(fault).toMatchObject({ kind: 'outside', retryable: false, subject: id });
    expect(fault.message).toBe(
      `CNI ADD of sandbox a to network net: plugin calico: executable not found in /nowhere, ${fake.dir}`,
    );
    expect(fake.seen).toEqual([]);
  });

  it.each<[string, Answer, object]>([
    [
      'code 11',
      pluginFailure(11, 'busy'),
      { kind: 'outside', retryable: true, message: expect.stringMatching(/error 11: busy$/u) },
    ],
    ['code 7', pluginFailure(7, 'bad conf'), { kind: 'outside', retryable: false }],
    [
      'F58: a used-up pool',
      pluginFailure(999, 'no IP addresses available in range set: 10.0.0.1-10.0.0.2'),
      { kind: 'exhausted', retryable: true },
    ],
    [
      'no JSON but stderr',
      { exitCode: 2, stderr: 'panic:\n\u001b[31mboom' },
      { kind: 'outside', message: expect.stringMatching(/exit code 2: panic: \[31mboom$/u) },
    ],
    ['silence', { exitCode: 3 }, { message: expect.stringMatching(/exit code 3: no output$/u) }],
    ['a signal', { exitCode: null }, { message: expect.stringMatching(/ended by a signal: no output$/u) }],
    [
      'F50: the deadline',
      { exitCode: null, timedOut: true },
      { kind: 'timedOut', message: expect.stringMatching(/timed out after 1000 ms and was killed$/u) },
    ],
    [
      'F54: too much output',
      { truncated: true, stdout: 'x'.repeat(networkLimits.pluginOutputBytes) },
      { kind: 'outside', message: expect.stringMatching(/more than 1048576 bytes/u) },
    ],
  ])('reports %s', async (_name, answer, expected) => {
    const { plugins: fake, call } = setUp(answer);
    expect(await faultOf(runPlugin(fake.runTool, call))).toMatchObject(expected);
  });

  it('finds only executable regular files, in the order of the directories', async () => {
    const { plugins: fake } = setUp({});
    mkdirSync(join(fake.dir, 'folder'));
    writeFileSync(join(fake.dir, 'plain'), '');
    symlinkSync('loop', join(fake.dir, 'loop'));
    symlinkSync('bridge', join(fake.dir, 'link'));
    const found = async (name: string) => findExecutable(name, ['/nowhere', fake.dir]);
    expect(await found('bridge')).toBe(join(fake.dir, 'bridge'));
    expect(await found('link')).toBe(join(fake.dir, 'link'));
    for (const name of ['folder', 'plain', 'loop', 'none']) expect(await found(name)).toBeUndefined();
  });
});

describe('the request to a plugin', () => {
  const network = { name: 'net', cniVersion: '1.0.0' as const };

  it('is the configuration with name, version, granted values and the previous result', () => {
    const raw = {
      type: 'portmap',
      capabilities: { portMappings: true },
      snat: true,
      prevResult: 'x',
      runtimeConfig: { mac: 'x' },
      name: 'x',
    };
    const plugin = { type: 'portmap', capabilities: ['portMappings'], raw };
    expect(pluginRequest(network, plugin, { portMappings: [], mac: 'aa' }, { ips: [] })).toEqual({
      type: 'portmap',
      snat: true,
      cniVersion: '1.0.0',
      name: 'net',
      runtimeConfig: { portMappings: [] },
      prevResult: { ips: [] },
    });
    expect(pluginRequest(network, { ...plugin, capabilities: [] }, { mac: 'aa' })).toEqual({
      type: 'portmap',
      snat: true,
      cniVersion: '1.0.0',
      name: 'net',
    });
  });
});

describe('CNI_ARGS', () => {
  const pod = { podNamespace: 'prod', podName: 'web-0', podUid: 'u-1', sandboxId: id };

  it('S66: has exactly the names that plugins read', () => {
    expect(cniArgs(pod)).toBe(
      `IgnoreUnknown=1;K8S_POD_NAMESPACE=prod;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=${id};K8S_POD_UID=u-1`,
    );
  });

  it.each([
    ['podName', 'a;IP=10.0.0.9'],
    ['podName', 'a=b'],
    ['podNamespace', 'a\nb'],
    ['podNamespace', 'a;b'],
    ['podUid', 'a\0'],
    ['podUid', 'a\u2028b'],
  ])('S66: refuses %s %j', async (field, value) => {
    const fault = await faultOf(Promise.resolve().then(() => cniArgs({ ...pod, [field]: value })));
    expect(fault.kind).toBe('invalidRequest');
  });
});

it('reads the versions of a VERSION answer', () => {
  expect(supportedVersions('{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0",7]}')).toEqual([
    '0.4.0',
    '1.0.0',
  ]);
  expect(supportedVersions('hello')).toBeUndefined();
  expect(supportedVersions('{}')).toBeUndefined();
});
