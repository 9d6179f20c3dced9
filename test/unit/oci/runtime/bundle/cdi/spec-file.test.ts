import { describe, expect, test } from 'vitest';
import { parseCdiFile } from '../../../../../../src/oci/runtime/bundle/cdi/spec-file.ts';

const parse = (text: string, name = 'v.json') => parseCdiFile(`/etc/cdi/${name}`, Buffer.from(text));
const edits = { env: ['A=b'] };
/** A whole file, from which each case changes something. */
const file = (changes: object = {}, containerEdits: object = edits): string =>
  JSON.stringify({
    cdiVersion: '1.1.0',
    kind: 'v.com/gpu',
    devices: [{ name: 'gpu0', containerEdits }],
    ...changes,
  });

const yaml = `
cdiVersion: "0.7.0"
kind: v.com/gpu
annotations: {a: b}
containerEdits:
  env: [ALL=1]
devices:
  - name: gpu0
    annotations: {c: d}
    containerEdits:
      env: ["A=b=c"]
      deviceNodes:
        - {path: /dev/gpu0, hostPath: /dev/gpus/0, type: c, major: 195, minor: 0, fileMode: 0o660, permissions: mr, uid: 7, gid: 8}
        - path: /dev/ctl/
      mounts:
        - {hostPath: /usr/lib/x.so, containerPath: /usr/lib/x.so, options: [ro, nosuid, nodev, bind]}
        - {hostPath: tmpfs, containerPath: /t, type: tmpfs, options: [size=1k]}
      hooks:
        - {hookName: createContainer, path: /usr/bin/ctk, args: [ctk, hook], env: [P=/bin], timeout: 5}
      additionalGids: [0, 44]
      intelRdt: {closID: gold, l3CacheSchema: "L3:0=f", enableCMT: true}
`;
const json = JSON.stringify({
  cdiVersion: '0.7.0',
  kind: 'v.com/gpu',
  annotations: { a: 'b' },
  containerEdits: { env: ['ALL=1'] },
  devices: [
    {
      name: 'gpu0',
      annotations: { c: 'd' },
      containerEdits: {
        env: ['A=b=c'],
        deviceNodes: [
          {
            path: '/dev/gpu0',
            hostPath: '/dev/gpus/0',
            type: 'c',
            major: 195,
            minor: 0,
            fileMode: 432,
            permissions: 'mr',
            uid: 7,
            gid: 8,
          },
          { path: '/dev/ctl/' },
        ],
        mounts: [
          {
            hostPath: '/usr/lib/x.so',
            containerPath: '/usr/lib/x.so',
            options: ['ro', 'nosuid', 'nodev', 'bind'],
          },
          { hostPath: 'tmpfs', containerPath: '/t', type: 'tmpfs', options: ['size=1k'] },
        ],
        hooks: [
          {
            hookName: 'createContainer',
            path: '/usr/bin/ctk',
            args: ['ctk', 'hook'],
            env: ['P=/bin'],
            timeout: 5,
          },
        ],
        additionalGids: [0, 44],
        intelRdt: { closID: 'gold', l3CacheSchema: 'L3:0=f', enableCMT: true },
      },
    },
  ],
});

describe('a CDI file', () => {
  test('is read the same in JSON and in YAML', async () => {
    const spec = await parse(json);
    expect(await parse(yaml, 'v.yaml')).toEqual(spec);
    expect(spec.kind).toBe('v.com/gpu');
    expect(spec.edits).toMatchObject({
      env: ['ALL=1'],
      deviceNodes: [],
      mounts: [],
      hooks: [],
      additionalGids: [],
      intelRdt: undefined,
    });
    const unsaid = {
      type: undefined,
      major: undefined,
      minor: undefined,
      fileMode: undefined,
      uid: undefined,
      gid: undefined,
    };
    expect(spec.devices.get('gpu0')).toEqual({
      env: ['A=b=c'],
      deviceNodes: [
        {
          path: '/dev/gpu0',
          hostPath: '/dev/gpus/0',
          type: 'c',
          major: 195,
          minor: 0,
          fileMode: 0o660,
          permissions: 'rm',
          uid: 7,
          gid: 8,
        },
        { ...unsaid, path: '/dev/ctl', hostPath: '/dev/ctl', permissions: 'rwm' },
      ],
      mounts: [
        {
          source: '/usr/lib/x.so',
          destination: '/usr/lib/x.so',
          type: 'bind',
          options: ['ro', 'nosuid', 'nodev', 'bind'],
        },
        { source: 'tmpfs', destination: '/t', type: 'tmpfs', options: ['size=1k'] },
      ],
      hooks: [
        {
          stage: 'createContainer',
          hook: { path: '/usr/bin/ctk', args: ['ctk', 'hook'], env: ['P=/bin'], timeout: 5 },
        },
      ],
      additionalGids: [44],
      intelRdt: { closID: 'gold', l3CacheSchema: 'L3:0=f', enableCMT: true },
    });
  });

  test.each<[string, string, string?]>([
    ['cdiVersion is not one of', file({ cdiVersion: '9.0.0' })],
    ['cdiVersion is not one of', file({ cdiVersion: undefined })],
    ['kind is not of the form', file({ kind: 'gpu' })],
    ['kind is not of the form', file({ kind: 'v.com/gpu/x' })],
    ['"colour" is not a known field', file({ colour: 1 })],
    ['devices is empty', file({ devices: [] })],
    [
      'devices[1].name gpu0 is defined twice',
      file({
        devices: [
          { name: 'gpu0', containerEdits: edits },
          { name: 'gpu0', containerEdits: edits },
        ],
      }),
    ],
    ['devices[0].name is not a device name', file({ devices: [{ name: '../x', containerEdits: edits }] })],
    ['devices[0].containerEdits is empty', file({}, {})],
    ['env[0] is not of the form NAME=value', file({}, { env: ['A'] })],
    ['env[1] is not of the form NAME=value', file({}, { env: ['A=', '=b'] })],
    ['deviceNodes[0].path is not an absolute path', file({}, { deviceNodes: [{ path: 'dev/x' }] })],
    ['deviceNodes[0].path is not an absolute path', file({}, { deviceNodes: [{ path: '/dev/../x' }] })],
    ['deviceNodes[0].type is not one of', file({}, { deviceNodes: [{ path: '/dev/x', type: 'toString' }] })],
    [
      'deviceNodes[0].permissions is not a subset of',
      file({}, { deviceNodes: [{ path: '/dev/x', permissions: 'rx' }] }),
    ],
    ['deviceNodes[0].minor is 1048576', file({}, { deviceNodes: [{ path: '/dev/x', minor: 2 ** 20 }] })],
    ['mounts[0].containerPath is the root', file({}, { mounts: [{ hostPath: '/x', containerPath: '//' }] })],
    ['mounts[0].hostPath is empty', file({}, { mounts: [{ containerPath: '/x' }] })],
    [
      'mounts[0].hostPath is not an absolute path',
      file({}, { mounts: [{ hostPath: 'x', containerPath: '/x', options: ['rbind'] }] }),
    ],
    ['hooks[0].hookName is not one of', file({}, { hooks: [{ hookName: 'precreate', path: '/x' }] })],
    ['hooks[0].path is not an absolute path', file({}, { hooks: [{ hookName: 'poststop', path: 'x' }] })],
    ['hooks[0].timeout is 0', file({}, { hooks: [{ hookName: 'poststop', path: '/x', timeout: 0 }] })],
    ['intelRdt.closID is not the name', file({}, { intelRdt: { closID: '../x' } })],
    ['netDevices is not supported', file({}, { netDevices: [{ hostInterfaceName: 'eth9', name: 'eth1' }] })],
    ['not acceptable JSON', '{"cdiVersion":"1.0.0",}'],
    ['not acceptable YAML', 'a: [', 'v.yaml'],
    ['not acceptable YAML', 'a: 1\na: 2\n', 'v.yaml'],
    [
      'not acceptable YAML',
      `a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n${Array.from({ length: 6 }, (_none, at) => `a${at + 1}: &a${at + 1} [${`*a${at},`.repeat(9)}*a${at}]`).join('\n')}\n`,
      'v.yaml',
    ],
    ['the document is not an object', '- a\n', 'v.yaml'],
    ['a key is not a string', '1: a\n', 'v.yaml'],
  ])('%s', async (reason, text, name) => {
    await expect(parse(text, name)).rejects.toMatchObject({
      fault: { kind: 'outside', message: expect.stringMatching(/^CDI file \/etc\/cdi\/v\./u) as string },
    });
    await expect(parse(text, name)).rejects.toThrow(reason);
  });

  test.each<[string, string, object, object?]>([
    ['0.4.0', 'mounts.type', {}, { mounts: [{ hostPath: '/x', containerPath: '/x', type: 'none' }] }],
    ['0.5.0', 'deviceNodes.hostPath', {}, { deviceNodes: [{ path: '/dev/x', hostPath: '/dev/y' }] }],
    ['0.5.0', 'a digit', { devices: [{ name: '0', containerEdits: edits }] }],
    ['0.6.0', 'annotations', { annotations: { a: 'b' } }],
    ['0.6.0', 'annotations', { devices: [{ name: 'x', annotations: { a: 'b' }, containerEdits: edits }] }],
    ['0.6.0', 'a dot in the class', { kind: 'v.com/a.b' }],
    ['0.7.0', 'additionalGids', {}, { additionalGids: [5] }],
    ['0.7.0', 'intelRdt', {}, { intelRdt: { closID: 'x' } }],
    ['1.1.0', 'intelRdt.schemata', {}, { intelRdt: { schemata: ['L3:0=f'] } }],
  ])('needs %s for %s', async (version, feature, changes, containerEdits) => {
    await parse(file({ cdiVersion: version, ...changes }, containerEdits));
    await parse(file({ cdiVersion: `v${version}`, ...changes }, containerEdits));
    const old = { '0.4.0': '0.3.0', '0.5.0': '0.4.0', '0.6.0': '0.5.0', '0.7.0': '0.6.0', '1.1.0': '1.0.0' }[
      version
    ];
    await expect(parse(file({ cdiVersion: old, ...changes }, containerEdits))).rejects.toThrow(feature);
  });
});

test('S61 a YAML key that is not a string refuses the file, at any depth', async () => {
  const deep = yaml.replace('env: [ALL=1]', 'env: [ALL=1]\n  ? [[b]]\n  : x');
  await expect(parse(deep, 'v.yaml')).rejects.toMatchObject({
    fault: { kind: 'outside', message: expect.stringContaining('a key is not a string') as string },
  });
});

test('S61 YAML that contains itself, or is nested too deeply, is refused', async () => {
  for (const text of ['a: &a [*a]', `a: ${'['.repeat(100)}${']'.repeat(100)}`, `a: ${'['.repeat(3000)}`]) {
    await expect(parse(text, 'v.yaml')).rejects.toMatchObject({
      fault: { kind: 'outside', message: expect.not.stringContaining('call stack') as string },
    });
  }
});
