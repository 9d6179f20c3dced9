// A node as most users have it: systemd, cgroup v2 alone, AppArmor enforced. troupe runs as the service of deploy/.
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  CgroupDriver,
  ContainerState,
  NamespaceMode,
  SecurityProfile_ProfileType as Profile,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { weightOfShares } from '../../../src/host/cgroups/scope-limits.ts';
import { untilTermed } from '../../e2e/support/pods.ts';
import { run, runOrThrow } from '../../support/run.ts';
import {
  cgroupOf,
  check,
  configure,
  control,
  Node,
  ownUnits,
  served,
  sliceOf,
  startTroupe,
  startWithImage,
  systemctl,
  untilNoUnits,
} from './node.ts';
import { until } from '../../support/eventually.ts';

const MIB = 1024 * 1024;
let node: Node;

beforeAll(async () => {
  node = new Node(await startWithImage());
});

afterAll(() => node.close());

// a test that fails must not fail the next
afterEach(async () => await node.removeAll());

/** The limits of a container, as the kubelet says them. */
const limits = (memoryLimitInBytes: bigint, more: object = {}) => ({
  resources: { memoryLimitInBytes, oomScoreAdj: 500n, ...more },
});
/** Takes memory until it is killed for it. */
const HOG = ['sh', '-c', 'x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done'];

describe('the service', () => {
  it('notifies systemd when it serves, and reports its cgroup driver to the kubelet', async () => {
    expect(await systemctl('is-active', 'troupe')).toBe('active');
    const { linux } = await node.client.runtime.runtimeConfig({});
    expect(linux?.cgroupDriver).toBe(CgroupDriver.SYSTEMD);
    const { status } = await node.client.runtime.status({});
    expect(status?.conditions.map(({ type, status: holds, message }) => [type, holds, message])).toEqual([
      ['RuntimeReady', true, ''],
      ['NetworkReady', true, ''],
    ]);
  });
});

describe('the systemd cgroup driver', () => {
  it('puts container and monitor into a scope below the pod’s slice, which is removed with them', async () => {
    const pod = await node.runPod('scopes');
    const id = await node.startUntilUp(pod, 'main', 0);
    const pid = await node.pid(id);
    expect(cgroupOf(pid)).toBe(`${sliceOf('scopes')}/troupe-${id}.scope/container`);
    const monitor = Number(readFileSync(`/run/troupe/containers/${id}/conmon.pid`, 'utf8'));
    expect(cgroupOf(monitor)).toBe(`${sliceOf('scopes')}/troupe-${id}.scope/monitor`);
    expect(await ownUnits()).toEqual([`troupe-${id}.scope`]);
    expect(await systemctl('show', '--property=Slice', '--value', `troupe-${id}.scope`)).toBe(
      'kubepods-besteffort-podscopes.slice',
    );
    const found = await check();
    expect([found.code, found.stdout]).toEqual([0, expect.stringContaining('clean:')]);
    await node.client.runtime.stopContainer({ containerId: id, timeout: 10n });
    expect((await node.status(id)).exitCode).toBe(0);
    await node.removePod(pod.id);
    await untilNoUnits();
  });

  it('sets limits of cgroup v2, and others by UpdateContainerResources', async () => {
    const pod = await node.runPod('limits');
    const id = await node.start(
      pod,
      'main',
      untilTermed(0),
      limits(BigInt(64 * MIB), { cpuPeriod: 100_000n, cpuQuota: 50_000n, cpuShares: 512n }),
    );
    const cgroup = cgroupOf(await node.pid(id));
    expect(control(cgroup, 'memory.max')).toBe(String(64 * MIB));
    expect(control(cgroup, 'cpu.max')).toBe('50000 100000');
    const weight = Number(control(cgroup, 'cpu.weight'));
    // what competes with the pod's other containers is the scope
    const weightOfScope = (): string => control(dirname(cgroup), 'cpu.weight');
    expect(weightOfScope()).toBe(String(weightOfShares(512n)));
    await node.client.runtime.updateContainerResources({
      containerId: id,
      linux: {
        memoryLimitInBytes: BigInt(96 * MIB),
        cpuPeriod: 100_000n,
        cpuQuota: 20_000n,
        cpuShares: 2048n,
      },
    });
    expect(control(cgroup, 'memory.max')).toBe(String(96 * MIB));
    expect(control(cgroup, 'cpu.max')).toBe('20000 100000');
    expect(Number(control(cgroup, 'cpu.weight'))).toBeGreaterThan(weight);
    expect(weightOfScope()).toBe(String(weightOfShares(2048n)));
    expect((await node.status(id)).resources?.linux).toMatchObject({
      memoryLimitInBytes: BigInt(96 * MIB),
      cpuQuota: 20_000n,
    });
    // systemd writes its own view of a scope anew when it reloads
    await systemctl('daemon-reload');
    expect(control(cgroup, 'memory.max')).toBe(String(96 * MIB));
    expect(weightOfScope()).toBe(String(weightOfShares(2048n)));
    await expect(
      node.client.runtime.updateContainerResources({ containerId: id, linux: { memoryLimitInBytes: 4096n } }),
    ).rejects.toThrow(/UpdateContainerResources/u);
    expect(control(cgroup, 'memory.max')).toBe(String(96 * MIB));
    await node.removePod(pod.id);
  });

  it.each([1, 2, 3])(
    'F47 reports an OOM kill, though systemd removes the scope at once (%i)',
    async (round) => {
      const pod = await node.runPod(`oom${round}`);
      const hog = await node.start(pod, 'hog', HOG, limits(BigInt(24 * MIB)));
      expect(await node.ended(hog)).toMatchObject({ exitCode: 137, reason: 'OOMKilled' });
      await node.removePod(pod.id);
    },
  );

  it('F47 reports neither a SIGKILL nor a child’s OOM kill as that of its container', async () => {
    const pod = await node.runPod('noomk');
    const killed = await node.start(
      pod,
      'killed',
      ['sh', '-c', 'trap "" TERM; while :; do sleep 1; done'],
      limits(BigInt(64 * MIB)),
    );
    await node.client.runtime.stopContainer({ containerId: killed, timeout: 0n });
    expect(await node.status(killed)).toMatchObject({ exitCode: 137, reason: 'Error' });
    const parent = await node.start(
      pod,
      'parent',
      ['sh', '-c', `sh -c '${HOG[2] ?? ''}'; exit 3`],
      limits(BigInt(24 * MIB)),
    );
    expect(await node.ended(parent)).toMatchObject({ exitCode: 3, reason: 'Error' });
    await node.removePod(pod.id);
  });

  it('reads statistics of container and pod', async () => {
    const pod = await node.runPod('stats');
    const id = await node.start(pod, 'main', ['sh', '-c', 'while :; do :; done'], limits(BigInt(64 * MIB)));
    const { stats } = await until(async () => {
      const answer = await node.client.runtime.containerStats({ containerId: id });
      return (answer.stats?.cpu?.usageCoreNanoSeconds?.value ?? 0n) > 0n ? answer : undefined;
    });
    expect(stats?.memory?.usageBytes?.value).toBeGreaterThan(0n);
    expect(stats?.memory?.availableBytes?.value).toBeLessThanOrEqual(BigInt(64 * MIB));
    const { stats: ofPod } = await node.client.runtime.podSandboxStats({ podSandboxId: pod.id });
    expect(ofPod?.linux?.memory?.usageBytes?.value).toBeGreaterThanOrEqual(
      stats?.memory?.usageBytes?.value ?? 0n,
    );
    expect(ofPod?.linux?.containers.map((one) => one.attributes?.id)).toEqual([id]);
    await node.removePod(pod.id);
  });

  it('ends the processes of an ExecSync past its timeout, and no others', async () => {
    const pod = await node.runPod('execs');
    const id = await node.start(pod, 'main', untilTermed(0));
    const cgroup = cgroupOf(await node.pid(id));
    // the shell and its sleep
    const areItsOwn = (): boolean => control(cgroup, 'pids.current') === '2';
    await until(areItsOwn);
    await expect(
      node.client.runtime.execSync({
        containerId: id,
        cmd: ['sh', '-c', 'trap "" TERM; setsid sleep 1000 & sleep 1000'],
        timeout: 2n,
      }),
    ).rejects.toThrow();
    await until(areItsOwn);
    expect(await node.exec(id, 'echo', 'still there')).toBe('still there');
    await node.removePod(pod.id);
  });

  it('runs a pause process in a scope of its own where the pod shares its PID namespace', async () => {
    const pod = await node.runPod('pause', {
      securityContext: { namespaceOptions: { pid: NamespaceMode.POD } },
    });
    const unit = `troupe-pause-${pod.id}.scope`;
    expect(await ownUnits()).toEqual([unit]);
    const id = await node.start(pod, 'main', untilTermed(0), {
      securityContext: { namespaceOptions: { pid: NamespaceMode.POD } },
    });
    expect(await node.exec(id, 'cat', '/proc/1/comm')).toBe('pause');
    await node.removePod(pod.id);
    await untilNoUnits();
  });

  it('works with crun', async () => {
    const pod = await node.runPod('crun', {}, { handler: 'crun' });
    const id = await node.startUntilUp(pod, 'main', 4, limits(BigInt(64 * MIB)));
    const cgroup = cgroupOf(await node.pid(id));
    expect(cgroup).toBe(`${sliceOf('crun')}/troupe-${id}.scope/container`);
    expect(control(cgroup, 'memory.max')).toBe(String(64 * MIB));
    await node.client.runtime.stopContainer({ containerId: id, timeout: 10n });
    expect((await node.status(id)).exitCode).toBe(4);
    const hog = await node.start(pod, 'hog', HOG, limits(BigInt(24 * MIB)));
    expect(await node.ended(hog)).toMatchObject({ exitCode: 137, reason: 'OOMKilled' });
    await node.removePod(pod.id);
    await untilNoUnits();
  });

  it('uses the default slice where the client has none, and refuses a parent that is not a slice', async () => {
    const pod = await node.runPod('default', { cgroupParent: '' });
    const id = await node.start(pod, 'main', untilTermed(0));
    expect(cgroupOf(await node.pid(id))).toBe(`/troupe.slice/troupe-${id}.scope/container`);
    await node.removePod(pod.id);
    await expect(node.runPod('path', { cgroupParent: '/kubepods/pod1' })).rejects.toThrow(/is not a slice/u);
    await expect(node.runPod('dash', { cgroupParent: 'a--b.slice' })).rejects.toThrow(
      /use slice|not a slice/u,
    );
  });
});

describe('a restart of the service', () => {
  it('F13 leaves containers and monitors running, since they are outside of its cgroup', async () => {
    const pod = await node.runPod('restart');
    const id = await node.startUntilUp(pod, 'main', 5);
    const pid = await node.pid(id);
    await startTroupe();
    expect(await node.pid(id)).toBe(pid);
    await runOrThrow(['systemctl', 'kill', '--signal=KILL', 'troupe']);
    // RestartSec of the unit
    await delay(2_000);
    await served();
    expect(await node.pid(id)).toBe(pid);
    const oom = await node.start(pod, 'hog', HOG, limits(BigInt(24 * MIB)));
    expect((await node.ended(oom)).reason).toBe('OOMKilled');
    await node.client.runtime.stopContainer({ containerId: id, timeout: 10n });
    expect((await node.status(id)).exitCode).toBe(5);
    await node.removePod(pod.id);
    await untilNoUnits();
  });

  it('keeps the cgroups of pods when the driver changes', async () => {
    const before = await node.runPod('changing');
    const old = await node.startUntilUp(before, 'main', 6);
    await configure('cgroupfs');
    await startTroupe();
    const second = await node.start(before, 'second', untilTermed(0));
    expect(cgroupOf(await node.pid(second))).toBe(`${sliceOf('changing')}/troupe-${second}.scope/container`);
    const after = await node.runPod('changed', { cgroupParent: '/vm-test' });
    const id = await node.startUntilUp(after, 'main', 7, limits(BigInt(64 * MIB)));
    expect(cgroupOf(await node.pid(id))).toBe(`/vm-test/troupe-${id}`);
    expect(control(`/vm-test/troupe-${id}`, 'memory.max')).toBe(String(64 * MIB));
    const hog = await node.start(after, 'hog', HOG, limits(BigInt(24 * MIB)));
    expect(await node.ended(hog)).toMatchObject({ exitCode: 137, reason: 'OOMKilled' });
    await configure('systemd');
    await startTroupe();
    for (const [containerId, exitCode] of [
      [old, 6],
      [id, 7],
    ] as const) {
      await node.client.runtime.stopContainer({ containerId, timeout: 10n });
      expect((await node.status(containerId)).exitCode).toBe(exitCode);
    }
    await node.removePod(before.id);
    await node.removePod(after.id);
    await untilNoUnits();
  });
});

describe('security', () => {
  const MINE = 'vm-test-no-touch';
  const text = `profile ${MINE} flags=(attach_disconnected) {\n  file,\n  capability,\n  signal,\n  deny /tmp/** w,\n}\n`;
  const apparmor = (profileType: Profile, localhostRef = '') => ({
    securityContext: { apparmor: { profileType, localhostRef } },
  });
  const confinement = async (id: string): Promise<string> =>
    await node.exec(id, 'cat', '/proc/self/attr/current');

  it('loads the default AppArmor profile at start and enforces it', async () => {
    expect(readFileSync('/sys/kernel/security/apparmor/profiles', 'utf8')).toContain(
      'troupe-default (enforce)',
    );
    const pod = await node.runPod('confined');
    for (const [name, more] of [
      ['said', apparmor(Profile.RuntimeDefault)],
      ['unsaid', {}],
      ['old', { securityContext: { apparmorProfile: 'runtime/default' } }],
    ] as const) {
      const id = await node.start(pod, name, untilTermed(0), more);
      expect(await confinement(id)).toBe('troupe-default (enforce)');
    }
    // nothing but the profile stands in the way: all capabilities, no read-only paths
    const able = {
      securityContext: {
        ...apparmor(Profile.RuntimeDefault).securityContext,
        capabilities: { addCapabilities: ['ALL'] },
        readonlyPaths: [],
        maskedPaths: [],
      },
    };
    const id = await node.start(pod, 'able', untilTermed(0), able);
    const panic = readFileSync('/proc/sys/kernel/panic', 'utf8');
    const denied = await node.client.runtime.execSync({
      containerId: id,
      cmd: ['sh', '-c', 'echo 77 >/proc/sys/kernel/panic'],
      timeout: 60n,
    });
    expect([denied.exitCode, new TextDecoder().decode(denied.stderr)]).toEqual([
      1,
      expect.stringContaining('Permission denied'),
    ]);
    expect(readFileSync('/proc/sys/kernel/panic', 'utf8')).toBe(panic);
    // an unloaded default is loaded again
    await runOrThrow(['sh', '-c', 'printf "profile troupe-default {}" | apparmor_parser --remove']).catch(
      () => undefined,
    );
    const again = await node.start(pod, 'again', untilTermed(0), apparmor(Profile.RuntimeDefault));
    expect(await confinement(again)).toBe('troupe-default (enforce)');
    await node.removePod(pod.id);
  });

  it('runs unconfined on request, and privileged containers', async () => {
    const pod = await node.runPod('unconfined', { securityContext: { privileged: true } });
    const asked = await node.start(pod, 'asked', untilTermed(0), apparmor(Profile.Unconfined));
    const privileged = await node.start(pod, 'privileged', untilTermed(0), {
      securityContext: { privileged: true, apparmor: { profileType: Profile.Localhost, localhostRef: MINE } },
    });
    for (const id of [asked, privileged])
      expect(await confinement(id)).toMatch(/^(?:unconfined|runc \(unconfined\)|crun \(unconfined\))$/u);
    await node.removePod(pod.id);
  });

  it('enforces a loaded profile by name, and refuses one that is not loaded', async () => {
    const pod = await node.runPod('named');
    await expect(node.create(pod, 'unloaded', ['true'], apparmor(Profile.Localhost, MINE))).rejects.toThrow(
      /use AppArmor profile vm-test-no-touch: not loaded on this node/u,
    );
    expect((await run(['apparmor_parser', '--replace', '--skip-cache'], { stdin: text })).code).toBe(0);
    for (const [name, more] of [
      ['new', apparmor(Profile.Localhost, MINE)],
      ['old', { securityContext: { apparmorProfile: `localhost/${MINE}` } }],
    ] as const) {
      const id = await node.start(pod, name, untilTermed(0), more);
      expect(await confinement(id)).toBe(`${MINE} (enforce)`);
      const { exitCode } = await node.client.runtime.execSync({
        containerId: id,
        cmd: ['touch', '/tmp/x'],
        timeout: 60n,
      });
      expect(exitCode).toBe(1);
    }
    await node.removePod(pod.id);
  });

  it('filters system calls with the default seccomp profile', async () => {
    const pod = await node.runPod('seccomp');
    const id = await node.start(pod, 'main', untilTermed(0), {
      securityContext: { seccomp: { profileType: Profile.RuntimeDefault } },
    });
    expect(await node.exec(id, 'grep', '^Seccomp:', '/proc/self/status')).toMatch(/2$/u);
    const { exitCode } = await node.client.runtime.execSync({
      containerId: id,
      cmd: ['unshare', '--user', 'true'],
      timeout: 60n,
    });
    expect(exitCode).not.toBe(0);
    expect((await node.status(id)).state).toBe(ContainerState.CONTAINER_RUNNING);
    await node.removePod(pod.id);
  });
});

describe('at the end', () => {
  it('nothing is left: no scope, no record, no cgroup', async () => {
    const found = await check();
    expect([found.code, found.stdout]).toEqual([0, expect.any(String)]);
    // systemd removes a scope a moment after its last process has ended
    await untilNoUnits();
    expect((await node.client.runtime.listPodSandbox({})).items).toEqual([]);
  });
});
