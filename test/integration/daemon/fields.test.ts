// Fields of containers through the running daemon's socket: what the process inside and ContainerStatus report.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  LinuxPodSandboxConfigSchema,
  LinuxSandboxSecurityContextSchema,
  NamespaceMode,
  NamespaceOptionSchema,
  PodSandboxConfigSchema,
  SecurityProfile_ProfileType as ProfileType,
  SecurityProfileSchema,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { detectCgroups } from '../../../src/host/cgroups/cgroup-layout.ts';
import { removePod } from './pod.ts';
import { openFields } from './fields-bench.ts';
import { code as codes, refusalOf } from './refusal.ts';
import type { Bench } from './fields-bench.ts';

const MIB = 1024n * 1024n;
const cgroups = await detectCgroups();

let bench: Bench;
beforeAll(async () => {
  bench = await openFields('field');
});
afterAll(() => bench.close());

describe('devices, hooks and limits', () => {
  it('CDI devices come by the field and by an annotation; an unknown device is refused', async () => {
    const edits = (name: string) => ({
      name,
      containerEdits: {
        env: [`CDI_${name.toUpperCase()}=1`],
        deviceNodes: [{ path: `/dev/cdi-${name}`, hostPath: '/dev/zero' }],
      },
    });
    writeFileSync(
      join(bench.world.instance.directory, 'cdi/v.json'),
      JSON.stringify({
        cdiVersion: '0.6.0',
        kind: 'v.com/dev',
        devices: [edits('a'), edits('b'), edits('c')],
      }),
    );
    const id = await bench.run({
      cdi: ['v.com/dev=a'],
      annotations: { 'cdi.k8s.io/plugin_1': 'v.com/dev=b,v.com/dev=a' },
    });
    expect(await bench.exec(id, 'echo /dev/cdi-*; head -c 3 /dev/cdi-b | wc -c')).toBe(
      '/dev/cdi-a /dev/cdi-b\n3\n',
    );
    expect(await bench.exec(id, 'tr "\\0" "\\n" < /proc/1/environ | grep CDI')).toBe('CDI_A=1\nCDI_B=1\n');
    await bench.end(id);
    expect(await refusalOf(bench.createContainer({ cdi: ['v.com/dev=z'] }))).toMatchObject({
      code: codes.invalidArgument,
      details: expect.stringContaining(
        'use CDI device v.com/dev=z: not found in the usable CDI files',
      ) as string,
    });
  });

  it('devices belong to the container’s user where that is configured', async () => {
    const id = await bench.run({
      devices: [{ containerPath: '/dev/mine', hostPath: '/dev/zero', permissions: 'r' }],
      runAs: [1000n, 2000n],
    });
    expect(await bench.exec(id, 'stat -c "%u:%g %t:%T" /dev/mine; head -c 2 /dev/mine | wc -c')).toBe(
      '1000:2000 1:5\n2\n',
    );
    await bench.end(id);
  });

  it('hooks run for matching containers only', async () => {
    const seen = join(bench.world.instance.directory, 'hooked');
    const hook = {
      version: '1.0.0',
      hook: { path: '/bin/sh', args: ['sh', '-c', `cat > ${seen}`] },
      when: { annotations: { '^hook/wanted$': '^yes$' } },
      stages: ['createRuntime'],
    };
    writeFileSync(join(bench.world.instance.directory, 'hooks.d/10.json'), JSON.stringify(hook));
    await bench.end(await bench.createContainer({}));
    expect(() => readFileSync(seen)).toThrow('ENOENT');
    const id = await bench.createContainer({ annotations: { 'hook/wanted': 'yes' } });
    expect(JSON.parse(readFileSync(seen, 'utf8'))).toMatchObject({ id });
    await bench.end(id);
  });

  it('memory, swap and CPUs are limited as requested, and ContainerStatus shows it', async () => {
    const limits = {
      memoryLimitInBytes: 64n * MIB,
      memorySwapLimitInBytes: 96n * MIB,
      cpusetCpus: '0',
      cpusetMems: '0',
    };
    const id = await bench.run({ limits });
    const files =
      cgroups.version === 2
        ? 'memory.max memory.swap.max cpuset.cpus cpuset.mems'
        : 'memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes cpuset/cpuset.cpus cpuset/cpuset.mems';
    // where swap is not accounted for, it cannot be limited, and the file is not there
    const swap = cgroups.version === 2 ? 32n * MIB : 96n * MIB;
    const said = (
      await bench.exec(
        id,
        `cd /sys/fs/cgroup; for file in ${files}; do if test -e $file; then cat $file; else echo none; fi; done`,
      )
    )
      .trim()
      .split('\n');
    expect([said[0], ['none', String(swap)].includes(said[1] ?? ''), said[2], said[3]]).toEqual([
      String(64n * MIB),
      true,
      '0',
      '0',
    ]);
    const { status } = await bench.world.client.runtime.containerStatus({ containerId: id });
    expect(status?.resources?.linux).toMatchObject(limits);
    await bench.end(id);
  });

  it('the configuration sets limits of processes', async () => {
    const id = await bench.run({});
    expect(await bench.exec(id, 'grep -E "core file|open files" /proc/1/limits')).toMatch(
      /^Max core file size +7 +8 +bytes *\nMax open files +1024 +\d+ +files *\n$/u,
    );
    await bench.end(id);
  });

  it('CPUs that this machine does not have are InvalidArgument, at creation and at an update', async () => {
    const details = expect.stringMatching(/use cpuset_cpus 0,4000: this machine has 0/u) as string;
    expect(await refusalOf(bench.createContainer({ limits: { cpusetCpus: '0,4000' } }))).toMatchObject({
      code: codes.invalidArgument,
      details,
    });
    const id = await bench.run({});
    const update = bench.world.client.runtime.updateContainerResources({
      containerId: id,
      linux: { cpusetCpus: '0,4000' },
    });
    expect(await refusalOf(update)).toMatchObject({ code: codes.invalidArgument, details });
    await bench.end(id);
  });
});

describe('the pod’s own seccomp profile', () => {
  it.each([NamespaceMode.CONTAINER, NamespaceMode.POD])(
    'is checked before the pod runs, with a pause process or without (pid %s)',
    async (pid) => {
      const path = join(bench.world.instance.directory, `profile-${pid}.json`);
      const config = bench.pod(`seccomp${pid}`);
      const securityContext = create(LinuxSandboxSecurityContextSchema, {
        namespaceOptions: create(NamespaceOptionSchema, { network: NamespaceMode.NODE, pid }),
        seccomp: create(SecurityProfileSchema, { profileType: ProfileType.Localhost, localhostRef: path }),
      });
      const request = create(PodSandboxConfigSchema, {
        ...config,
        linux: create(LinuxPodSandboxConfigSchema, { securityContext }),
      });
      expect(await refusalOf(bench.world.client.runtime.runPodSandbox({ config: request }))).toMatchObject({
        code: codes.invalidArgument,
        details: expect.stringContaining(`read seccomp profile ${path}: not found`) as string,
      });
      writeFileSync(
        path,
        JSON.stringify({
          defaultAction: 'SCMP_ACT_ALLOW',
          syscalls: [{ names: ['acct'], action: 'SCMP_ACT_ERRNO' }],
        }),
      );
      const { podSandboxId } = await bench.world.client.runtime.runPodSandbox({ config: request });
      if (pid === NamespaceMode.POD) {
        const document = JSON.parse(
          readFileSync(
            join(bench.world.instance.state, 'sandboxes', podSandboxId, 'pause/config.json'),
            'utf8',
          ),
        ) as { linux: { seccomp: object } };
        expect(document.linux.seccomp).toMatchObject({
          defaultAction: 'SCMP_ACT_ALLOW',
          syscalls: [{ names: ['acct'] }],
        });
      }
      await removePod(bench.world, podSandboxId);
    },
  );
});

describe('what verbose statuses show of the OCI document', () => {
  const specOf = (info: {
    readonly [key: string]: string;
  }):
    | { readonly process?: object; readonly linux?: { readonly namespaces?: readonly object[] } }
    | undefined => (JSON.parse(info['info'] ?? '') as { readonly runtimeSpec?: object }).runtimeSpec;

  it('is a container’s whole document without the environment, and for a pod without a pause process its namespaces', async () => {
    const { runtime } = bench.world.client;
    const id = await bench.run({});
    const container = specOf((await runtime.containerStatus({ containerId: id, verbose: true })).info);
    expect(container).toMatchObject({
      process: { args: ['sleep', '3600'] },
      linux: { namespaces: expect.arrayContaining([expect.objectContaining({ type: 'mount' })]) as unknown },
    });
    expect(container?.process).not.toHaveProperty('env');
    const ipc = join(bench.world.instance.state, 'ns', bench.sandboxId, 'ipc');
    expect(
      specOf((await runtime.podSandboxStatus({ podSandboxId: bench.sandboxId, verbose: true })).info)?.linux
        ?.namespaces,
    ).toContainEqual({ type: 'ipc', path: ipc });
    await bench.end(id);
  });
});

describe('two different requests at once', () => {
  it('the request that another call superseded gets Aborted, not Canceled, with the reason', async () => {
    const { runtime } = bench.world.client;
    const config = bench.pod('twice');
    const other = create(PodSandboxConfigSchema, { ...config, hostname: 'other' });
    const first = refusalOf(runtime.runPodSandbox({ config }));
    const second = runtime.runPodSandbox({ config: other });
    const { podSandboxId } = await second;
    const { code, details } = await first;
    // whichever way the daemon heard them: joined, ended before, or given up in favour of the other
    if (code !== 0)
      expect([code, details]).toEqual([
        codes.aborted,
        expect.stringMatching(
          /another call has stopped, removed or replaced it meanwhile|the sandbox was (?:stopped|removed) meanwhile/u,
        ),
      ]);
    await removePod(bench.world, podSandboxId);
  });
});
