// What a container may do is what was asked for, however it came to run: made once, again, after a call that was given
// up, by a daemon that was killed meanwhile (I21). Read from the kernel, not from a status.
import { readFileSync } from 'node:fs';
import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  ContainerConfigSchema,
  LinuxContainerSecurityContextSchema,
  SecurityProfile_ProfileType,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';
import { until } from '../../support/eventually.ts';

const NET_BIND_SERVICE = 1n << 10n;
const NONE = '0'.repeat(16);

const security = create(LinuxContainerSecurityContextSchema, {
  runAsUser: { value: 1000n },
  runAsGroup: { value: 2000n },
  supplementalGroups: [3000n, 4000n],
  capabilities: { dropCapabilities: ['ALL'], addCapabilities: ['NET_BIND_SERVICE'] },
  noNewPrivs: true,
  readonlyRootfs: true,
  maskedPaths: ['/proc/cpuinfo', '/sys/firmware'],
  readonlyPaths: ['/proc/sys'],
  seccomp: { profileType: SecurityProfile_ProfileType.RuntimeDefault },
});

/** The same as proc(5) shows it. */
const WANTED = {
  uid: '1000 1000 1000 1000',
  gid: '2000 2000 2000 2000',
  groups: '2000 3000 4000',
  // another user than root has those of the bounding set that a program with file capabilities gives it, and none by
  // itself
  capabilities: [NONE, NONE, NONE, NET_BIND_SERVICE.toString(16).padStart(16, '0'), NONE],
  noNewPrivs: '1',
  seccomp: '2',
  root: 'ro',
  cpuinfo: 'devtmpfs or tmpfs',
  firmware: 'tmpfs ro',
  sys: 'proc ro',
};

function settingsOf(pid: number): typeof WANTED {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const line = (name: string): string =>
    (new RegExp(String.raw`^${name}:\s*(.*)$`, 'mu').exec(status)?.[1] ?? 'missing')
      .trim()
      .replaceAll(/\s+/gu, ' ');
  const mounts = new Map(
    readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
      .split('\n')
      .map((text) => {
        const [, , , , point = '', options = ''] = text.split(' ');
        return [
          point,
          { type: text.split(' - ')[1]?.split(' ')[0] ?? '', access: options.split(',')[0] ?? '' },
        ] as const;
      }),
  );
  const shown = (point: string): string => `${mounts.get(point)?.type} ${mounts.get(point)?.access}`;
  return {
    uid: line('Uid'),
    gid: line('Gid'),
    groups: line('Groups'),
    capabilities: ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map(line),
    noNewPrivs: line('NoNewPrivs'),
    seccomp: line('Seccomp'),
    root: mounts.get('/')?.access ?? 'missing',
    // the null device of the container's own /dev is over it
    cpuinfo: /^(?:dev)?tmpfs /u.test(shown('/proc/cpuinfo')) ? 'devtmpfs or tmpfs' : shown('/proc/cpuinfo'),
    firmware: shown('/sys/firmware'),
    sys: shown('/proc/sys'),
  };
}

describePods('I21 the security settings of a container', () => {
  let world: World;
  let podSandboxId: string;
  let image: string;
  const sandbox = () =>
    sandboxConfig({ name: 'same', logDirectory: `${world.logs}/same`, hostNetwork: true });
  beforeAll(async () => {
    world = await makeWorld({ name: 'same', network: 'host-only', logLevel: 'info' });
    image = await world.pull();
    ({ podSandboxId } = await world.client.runtime.runPodSandbox({ config: sandbox() }));
  });
  afterAll(async () => await world.close());

  async function made(attempt: number, signal?: AbortSignal): Promise<string> {
    const config = create(
      ContainerConfigSchema,
      containerConfig({ name: 'main', attempt, image, command: untilTermed(0), hostNetwork: true }),
    );
    config.linux = {
      ...config.linux,
      securityContext: create(LinuxContainerSecurityContextSchema, {
        ...security,
        namespaceOptions: config.linux?.securityContext?.namespaceOptions,
      }),
    } as typeof config.linux;
    return (
      await world.client.runtime.createContainer(
        { podSandboxId, config, sandboxConfig: sandbox() },
        signal === undefined ? {} : { signal },
      )
    ).containerId;
  }

  async function started(containerId: string): Promise<number> {
    await world.client.runtime.startContainer({ containerId });
    const pid = await pidOf(containerId);
    // the runtime answers before its init's execve, which takes from the process what another user than root has not
    await until(() => Promise.resolve(readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('sh\0')));
    return pid;
  }

  async function pidOf(containerId: string): Promise<number> {
    const { info } = await world.client.runtime.containerStatus({ containerId, verbose: true });
    return (JSON.parse(info['info'] ?? '{}') as { readonly pid: number }).pid;
  }

  test('are those asked for, also of the next attempt', async () => {
    const containerId = await made(0);
    expect(settingsOf(await started(containerId))).toEqual(WANTED);
    await world.client.runtime.stopContainer({ containerId, timeout: 10n });
    expect(settingsOf(await started(await made(1)))).toEqual(WANTED);
  });

  test('of one whose first call was given up by its client', async () => {
    const gone = new AbortController();
    const first = made(2, gone.signal);
    gone.abort();
    await expect(first).rejects.toThrow(/cancel/iu);
    expect(settingsOf(await started(await made(2)))).toEqual(WANTED);
  });

  test('of one that a daemon made which was killed before it was started, and of one that went on running', async () => {
    const running = await made(3);
    const pid = await started(running);
    const waiting = await made(4);
    await world.instance.kill();
    await world.instance.start();
    expect(await pidOf(running)).toBe(pid);
    expect(settingsOf(pid)).toEqual(WANTED);
    expect(await made(4)).toBe(waiting);
    expect(settingsOf(await started(waiting))).toEqual(WANTED);
    await world.client.runtime.stopContainer({ containerId: running, timeout: 10n });
    expect(settingsOf(await started(await made(5)))).toEqual(WANTED);
  });

  test('nothing is left', async () => {
    await world.client.runtime.stopPodSandbox({ podSandboxId });
    await world.client.runtime.removePodSandbox({ podSandboxId });
    expect(await world.leftovers()).toEqual([]);
  });
});
