/** What the node adds to bundles: CDI devices out of files, hooks out of directories, with the real runc. */
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { mountOf } from '../../unit/oci/runtime/spec/fixtures.ts';
import { bundleInput, fx, makeMachine, readConfig, whyNot } from './machine.ts';
import type { Machine } from './machine.ts';
import { unless } from '../../support/skips/unless.ts';

const reason = whyNot();
if (reason !== undefined) process.stdout.write(`skipped, what the node adds to bundles: ${reason}\n`);

let machine: Machine;
beforeEach(async () => {
  if (reason !== undefined) return;
  machine = await makeMachine();
  for (const name of ['cdi', 'cdi-run', 'hooks.d']) mkdirSync(join(machine.dir, name));
});
afterEach(() => {
  if (reason === undefined) machine.remove();
});

const put = (path: string, content: object | string): void =>
  writeFileSync(join(machine.dir, path), typeof content === 'string' ? content : JSON.stringify(content));
const cdi = (devices: readonly object[], more: object = {}): object => ({
  cdiVersion: '1.0.0',
  kind: 'v.com/gpu',
  devices,
  ...more,
});
const device = (name: string, containerEdits: object): object => ({ name, containerEdits });

type Spec = Parameters<typeof bundleInput>[1];
const write = (names: readonly string[], changes: Spec = {}) =>
  machine.writer.writeBundle(
    bundleInput(machine, {
      ...changes,
      spec: { ...changes?.spec, cdiDevices: names.map((name) => `v.com/gpu=${name}`) },
    }),
    fx,
  );

interface Config {
  readonly process: {
    readonly env: readonly string[];
    readonly user: { readonly additionalGids: readonly number[] };
  };
  readonly mounts: readonly { readonly destination: string; readonly options: readonly string[] }[];
  readonly linux: {
    readonly devices: readonly {
      readonly path: string;
      readonly major: number;
      readonly minor: number;
      readonly type: string;
    }[];
  };
  readonly hooks?: Readonly<Record<string, readonly { readonly path: string }[]>>;
}
const config = (): Config => readConfig(machine) as Config;

unless(describe, reason)('CDI devices', () => {
  test('a container gets node, mount, variable and group of its device, and no other device', async () => {
    const library = join(machine.dir, 'library');
    writeFileSync(library, 'a library\n');
    put(
      'cdi/v.yaml',
      `
cdiVersion: 0.7.0
kind: v.com/gpu
containerEdits: {env: [GPU=all]}
devices:
  - name: "0"
    containerEdits:
      deviceNodes: [{path: /dev/gpu0, hostPath: /dev/zero, fileMode: 0o640, permissions: rw}]
      mounts: [{hostPath: ${library}, containerPath: /lib/gpu, options: [ro, bind]}]
      additionalGids: [4711]
  - name: "1"
    containerEdits: {env: [NOT=mine]}
`,
    );
    const script =
      'echo $GPU-$NOT; cat /lib/gpu; id -G; stat -c "%t:%T %a" /dev/gpu0; head -c 2 /dev/gpu0 | wc -c; echo x > /lib/gpu';
    await write(['0'], { spec: { command: ['/bin/sh', '-c', script] } });
    const output = await machine.run();
    expect(output).toMatch(/^all-\na library\n(?:\d+ )*4711\n1:5 640\n/u);
    expect(output).toContain('Read-only file system');
    expect(config().linux.devices).toMatchObject([{ path: '/dev/gpu0', type: 'c', major: 1, minor: 5 }]);
  });

  test('a mount without stated propagation is private, since beside a bidirectional volume it would be the host’s peer', async () => {
    put(
      'cdi/v.json',
      cdi([
        device('x', {
          mounts: [
            { hostPath: machine.dir, containerPath: '/quiet', options: ['ro', 'bind'] },
            { hostPath: machine.dir, containerPath: '/said', options: ['rbind', 'rslave'] },
            { hostPath: 'tmpfs', containerPath: '/memory', type: 'tmpfs', options: ['nosuid'] },
          ],
        }),
      ]),
    );
    await write(['x']);
    const options = (place: string) =>
      config().mounts.find(({ destination }) => destination === place)?.options;
    expect([options('/quiet'), options('/said'), options('/memory')]).toEqual([
      ['ro', 'bind', 'rprivate'],
      ['rbind', 'rslave'],
      ['nosuid'],
    ]);
  });

  test('a later directory wins, also over two earlier files that disagree; two files of one directory conflict', async () => {
    put('cdi/a.json', cdi([device('x', { env: ['X=a'] }), device('only', { env: ['O=1'] })]));
    put('cdi/b.json', cdi([device('x', { env: ['X=b'] })]));
    await expect(write(['x'])).rejects.toMatchObject({
      fault: {
        kind: 'invalidRequest',
        message: expect.stringMatching(
          /use CDI device v\.com\/gpu=x: not found in the usable CDI files in .*; v\.com\/gpu=x is in both .*a\.json and .*b\.json$/u,
        ) as string,
      },
    });
    await write(['only']);
    put('cdi-run/c.json', cdi([device('x', { env: ['X=c'] })]));
    await write(['x', 'only']);
    expect(config().process.env).toEqual(expect.arrayContaining(['X=c', 'O=1']));
  });

  test('a changed file is read again, a deleted one is forgotten', async () => {
    put('cdi/a.json', cdi([device('x', { env: ['X=1'] })]));
    await write(['x']);
    put('cdi/a.json', cdi([device('x', { env: ['X=longer'] })]));
    await write(['x']);
    expect(config().process.env).toContain('X=longer');
    rmSync(join(machine.dir, 'cdi/a.json'));
    await expect(write(['x'])).rejects.toThrow(
      'use CDI device v.com/gpu=x: not found in the usable CDI files in',
    );
  });

  test('a broken file, or a missing node or source, fails only the containers that need it, by name', async () => {
    put('cdi/broken.json', '{');
    put(
      'cdi/good.json',
      cdi([
        device('x', { env: ['X=1'] }),
        device('node', { deviceNodes: [{ path: '/dev/never-there' }] }),
        device('file', { deviceNodes: [{ path: '/etc/passwd' }] }),
        device('other', { deviceNodes: [{ path: '/dev/zero', type: 'b' }] }),
        device('said', { deviceNodes: [{ path: '/dev/not-yet', type: 'c', major: 1, minor: 3 }] }),
        device('source', { mounts: [{ hostPath: '/never/there', containerPath: '/x', options: ['bind'] }] }),
      ]),
    );
    await write(['x']);
    await expect(write(['y'])).rejects.toThrow(/CDI file .*broken\.json: not acceptable JSON/u);
    await expect(write(['node'])).rejects.toThrow(
      'use CDI device node /dev/never-there: not a device of this machine',
    );
    await expect(write(['file'])).rejects.toThrow(
      'use CDI device node /etc/passwd: not a device of this machine',
    );
    await expect(write(['other'])).rejects.toThrow('it is of type c, not b');
    await expect(write(['source'])).rejects.toThrow(
      'mount /never/there of a CDI device at /x: source not found',
    );
    await write(['said']);
    expect(config().linux.devices).toMatchObject([{ path: '/dev/not-yet', major: 1, minor: 3 }]);
  });
});

unless(describe, reason)('OCI hooks', () => {
  const hook = (path: string, when: object = { always: true }, stages = ['createRuntime']): object => ({
    version: '1.0.0',
    hook: { path },
    when,
    stages,
  });

  test('run for the containers that they are for', async () => {
    const program = join(machine.dir, 'hook');
    writeFileSync(program, `#!/bin/sh\ncat > ${join(machine.dir, 'seen')}\n`);
    chmodSync(program, 0o755);
    put('hooks.d/10-gpu.json', hook(program, { annotations: { '^wants/gpu$': '^yes$' } }));
    await machine.writer.writeBundle(bundleInput(machine, { spec: { command: ['/bin/true'] } }), fx);
    expect(config().hooks).toBeUndefined();
    await machine.writer.writeBundle(
      bundleInput(machine, { spec: { command: ['/bin/true'], annotations: { 'wants/gpu': 'yes' } } }),
      fx,
    );
    expect(config().hooks).toEqual({ createRuntime: [{ path: program }] });
    await machine.run();
    expect(existsSync(join(machine.dir, 'seen'))).toBe(true);
    expect(JSON.parse(readFileSync(join(machine.dir, 'seen'), 'utf8'))).toMatchObject({
      status: expect.stringMatching(/^creat/u) as string,
    });
  });

  test('run in the order of their names, before those of CDI devices; select by command and by bind mounts', async () => {
    put('hooks.d/20-b.json', hook('/bin/b', { commands: ['^/entry$'] }));
    put('hooks.d/10-a.json', hook('/bin/a', { hasBindMounts: true }, ['createRuntime', 'poststop']));
    put('cdi/v.json', cdi([device('x', { hooks: [{ hookName: 'createRuntime', path: '/bin/cdi' }] })]));
    await write(['x'], { spec: { command: ['/entry'], mounts: [mountOf('/v', { hostPath: machine.dir })] } });
    expect(config().hooks).toEqual({
      createRuntime: [{ path: '/bin/a' }, { path: '/bin/b' }, { path: '/bin/cdi' }],
      poststop: [{ path: '/bin/a' }],
    });
  });

  test('an invalid file refuses every container, by its name', async () => {
    put('hooks.d/10-a.json', hook('relative'));
    const refused = machine.writer.writeBundle(bundleInput(machine, {}), fx);
    await expect(refused).rejects.toMatchObject({
      fault: {
        kind: 'outside',
        message: expect.stringMatching(/OCI hook file .*10-a\.json: hook\.path is not absolute/u) as string,
      },
    });
    rmSync(join(machine.dir, 'hooks.d'), { recursive: true });
    await machine.writer.writeBundle(bundleInput(machine, {}), fx);
  });
});
