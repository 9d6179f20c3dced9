/** Bundles that we write, run by the real runc: what the kernel shows of the container's process. */
import { readFileSync, statSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DEFAULT_CAPABILITIES, capabilitiesOfMask } from '../../../src/oci/runtime/spec/capabilities.ts';
import { bundleInput, fx, makeMachine, statusOf, whyNot } from './machine.ts';
import type { Machine } from './machine.ts';
import { unless } from '../../support/skips/unless.ts';

const reason = whyNot();
if (reason !== undefined) process.stdout.write(`skipped, bundles under runc: ${reason}\n`);

const STATUS = ['/bin/cat', '/proc/self/status'];
const NONE = '0000000000000000';

unless(describe, reason)('S73, S11: /proc/self/status in the container', () => {
  let machine: Machine;
  beforeEach(async () => {
    machine = await makeMachine();
  });
  afterEach(() => machine.remove());

  async function status(
    changes: Parameters<typeof bundleInput>[1] = {},
  ): Promise<ReadonlyMap<string, string>> {
    await machine.writer.writeBundle(
      bundleInput(machine, { ...changes, spec: { command: STATUS, ...changes.spec } }),
      fx,
    );
    return statusOf(await machine.run());
  }

  test('default: the 14 capabilities, none inheritable or ambient, seccomp filter, no new privileges', async () => {
    const got = await status();
    const expected = DEFAULT_CAPABILITIES.filter((name) => machine.host.boundingCapabilities.includes(name));
    for (const set of ['CapBnd', 'CapEff', 'CapPrm']) {
      expect([...capabilitiesOfMask(got.get(set) ?? '')].sort()).toEqual([...expected].sort());
    }
    expect(got.get('CapInh')).toBe(NONE);
    expect(got.get('CapAmb')).toBe(NONE);
    expect(got.get('NoNewPrivs')).toBe('1');
    expect(got.get('Seccomp')).toBe('2');
    expect(got.get('Uid')).toBe('0\t0\t0\t0');
  });

  test('privileged: our whole bounding set, no seccomp, all devices, /sys writable', async () => {
    await machine.writer.writeBundle(
      bundleInput(machine, {
        spec: { command: ['/bin/sh', '-c', 'cat /proc/self/status; ls /dev; cat /proc/self/mounts'] },
        sandbox: {
          privileged: true,
          namespaces: { network: 'node', ipc: 'node', pid: 'container', targetId: undefined },
          cgroupParent: machine.cgroupParent,
        },
        security: {
          privileged: true,
          noNewPrivs: false,
          namespaces: { network: 'node', ipc: 'node', pid: 'container', targetId: undefined },
        },
      }),
      fx,
    );
    const output = await machine.run();
    const got = statusOf(output);
    expect(capabilitiesOfMask(got.get('CapEff') ?? '')).toEqual(machine.host.boundingCapabilities);
    expect(got.get('CapInh')).toBe(NONE);
    expect(got.get('Seccomp')).toBe('0');
    expect(got.get('NoNewPrivs')).toBe('0');
    expect(output).toMatch(/^sysfs \/sys sysfs rw/mu);
    expect(output.split('\n')).toContain('null');
  });

  test('S24, S12: a user of the image by name, with the groups of the image and of the request', async () => {
    const effective = await machine.writer.writeBundle(
      bundleInput(machine, {
        spec: { command: ['/bin/sh', '-c', 'cat /proc/self/status; echo HOME=$HOME'] },
        image: { user: 'alice' },
        security: {
          user: {
            runAsUser: undefined,
            runAsUsername: '',
            runAsGroup: undefined,
            supplementalGroups: [3000],
            supplementalGroupsPolicy: 'merge',
          },
          namespaces: { network: 'node', ipc: 'node', pid: 'container', targetId: undefined },
        },
      }),
      fx,
    );
    expect(effective).toMatchObject({
      uid: 1000,
      gid: 1001,
      supplementalGroups: [1001, 2000, 2001, 3000],
      stopSignal: 'SIGTERM',
    });
    const output = await machine.run();
    const got = statusOf(output);
    expect(got.get('Uid')).toBe('1000\t1000\t1000\t1000');
    expect(got.get('Gid')).toBe('1001\t1001\t1001\t1001');
    expect(got.get('Groups')).toBe('1001 2000 2001 3000');
    // a user that is not root has nothing unless it is ambient; the bounding set stays
    expect(got.get('CapEff')).toBe(NONE);
    expect(got.get('CapInh')).toBe(NONE);
    expect(got.get('CapAmb')).toBe(NONE);
    expect(output).toContain('HOME=/home/alice');
  });

  test('drop ALL with one added, and an ambient one for a user that is not root', async () => {
    const got = await status({
      security: {
        capabilities: { add: ['CAP_CHOWN'], drop: ['ALL'], addAmbient: ['CAP_NET_BIND_SERVICE'] },
        user: {
          runAsUser: 1234,
          runAsUsername: '',
          runAsGroup: undefined,
          supplementalGroups: [],
          supplementalGroupsPolicy: 'merge',
        },
        noNewPrivs: false,
      },
    });
    expect(capabilitiesOfMask(got.get('CapBnd') ?? '')).toEqual(['CAP_CHOWN', 'CAP_NET_BIND_SERVICE']);
    expect(capabilitiesOfMask(got.get('CapEff') ?? '')).toEqual(['CAP_NET_BIND_SERVICE']);
    expect(capabilitiesOfMask(got.get('CapAmb') ?? '')).toEqual(['CAP_NET_BIND_SERVICE']);
    expect(capabilitiesOfMask(got.get('CapInh') ?? '')).toEqual(['CAP_NET_BIND_SERVICE']);
  });

  test('drop ALL leaves nothing', async () => {
    const got = await status({ security: { capabilities: { add: [], drop: ['ALL'], addAmbient: [] } } });
    for (const set of ['CapBnd', 'CapEff', 'CapPrm', 'CapInh', 'CapAmb']) expect(got.get(set)).toBe(NONE);
  });

  test('unconfined: no seccomp filter', async () => {
    expect((await status({ security: { seccomp: { type: 'unconfined', path: '' } } })).get('Seccomp')).toBe(
      '0',
    );
  });

  test('the limit of open files is stated; the working directory is made inside the root and used', async () => {
    const input = bundleInput(machine, {
      spec: { command: ['/bin/sh', '-c', 'pwd; cat /proc/self/limits'], workingDir: '/made/for/it' },
    });
    await machine.writer.writeBundle(input, fx);
    const output = await machine.run();
    expect(output.split('\n')[0]).toBe('/made/for/it');
    expect(output).toMatch(
      new RegExp(
        `^Max open files +${Math.min(1024, machine.host.openFilesHard)} +${machine.host.openFilesHard} `,
        'mu',
      ),
    );
  });

  test('S39, S72: cgroups and sysfs read-only, masked paths hidden, read-only paths not writable', async () => {
    const script =
      'cat /proc/self/mounts; echo 1 > /proc/sys/kernel/panic; echo [$(cat /proc/version)$(ls -A /sys/kernel)]';
    const input = bundleInput(machine, {
      spec: { command: ['/bin/sh', '-c', script] },
      security: {
        maskedPaths: ['/proc/version', '/sys/kernel', '/proc/not-there'],
        namespaces: { network: 'node', ipc: 'node', pid: 'container', targetId: undefined },
      },
    });
    await machine.writer.writeBundle(input, fx);
    const output = await machine.run();
    // on v1 the tmpfs that holds them is the container's own; the hierarchies are the host's
    const mounts = output.split('\n').filter((line) => /^cgroup2? /u.test(line));
    expect(mounts.length).toBeGreaterThan(0);
    for (const line of mounts) expect(line.split(' ')[3]?.split(',')).toContain('ro');
    expect(output).toMatch(/^sysfs \/sys sysfs ro/mu);
    expect(output).toMatch(/can't create \/proc\/sys\/kernel\/panic: Read-only file system/u);
    expect(output).toContain('[]');
  });

  test('the bundle is private, and can be written again', async () => {
    const input = bundleInput(machine, { spec: { command: ['/bin/true'] } });
    await machine.writer.writeBundle(input, fx);
    await machine.writer.writeBundle(input, fx);
    const bundle = machine.layout.bundleDir(input.id);
    expect(statSync(bundle).mode & 0o777).toBe(0o700);
    expect(statSync(machine.layout.configJson(input.id)).mode & 0o777).toBe(0o600);
    expect(readFileSync(machine.layout.configJson(input.id), 'utf8')).not.toBe('');
  });
});
