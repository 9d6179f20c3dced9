/** What CreateContainer makes of a good request. */
import { describe, expect, test } from 'vitest';
import {
  MountPropagation,
  NamespaceMode,
  RuntimeService,
  SecurityProfile_ProfileType as Profile,
  Signal,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { containerId, containerView, hex, imageId, podSpec, sandboxId, sandboxView, stage } from './stage.ts';

const metadata = { name: 'web', namespace: 'shop', uid: 'u-1', attempt: 2 };

const { method } = RuntimeService;

describe('CreateContainer', () => {
  const ready = (): ReturnType<typeof stage> => {
    const made = stage();
    const privileged = {
      ...podSpec,
      privileged: true,
      namespaces: { ...podSpec.namespaces, network: 'node' },
    } as const;
    made.put(
      sandboxView(sandboxId('a')),
      sandboxView(sandboxId('b'), { spec: privileged }),
      containerView(containerId('1')),
    );
    return made;
  };
  const small = {
    metadata: { name: 'main', attempt: 4 },
    image: { image: 'busybox', userSpecifiedImage: 'busybox:1' },
  };

  test('the smallest request, without security context, gets the masks of a confined container', async () => {
    const { send, asked } = ready();
    expect(await send(method.createContainer, { podSandboxId: 'aaa', config: small })).toMatchObject({
      containerId: hex('c'),
    });
    expect(asked).toMatchObject([
      [
        'createContainer',
        {
          key: { sandboxId: hex('a'), name: 'main', attempt: 4 },
          imageId: imageId('1'),
          imageRequested: 'busybox',
          imageUserSpecified: 'busybox:1',
          security: {
            namespaces: podSpec.namespaces,
            maskedPaths: ['/proc/kcore'],
            readonlyPaths: ['/proc/sys'],
            seccomp: { type: 'unconfined', path: '' },
            capabilities: { add: [], drop: [], addAmbient: [] },
          },
        },
      ],
    ]);
  });

  test('S72 a stated security context with empty lists masks nothing', async () => {
    const { send, asked } = ready();
    await send(method.createContainer, {
      podSandboxId: hex('a'),
      config: { ...small, linux: { securityContext: {} } },
    });
    expect(asked).toMatchObject([['createContainer', { security: { maskedPaths: [], readonlyPaths: [] } }]]);
  });

  test.each(['ALL', 'all', 'CAP_ALL', 'cap_all'])('S73 %s drops all capabilities', async (name) => {
    const { send, asked } = ready();
    await send(method.createContainer, {
      podSandboxId: hex('a'),
      config: { ...small, linux: { securityContext: { capabilities: { dropCapabilities: [name] } } } },
    });
    expect(asked).toMatchObject([['createContainer', { security: { capabilities: { drop: ['ALL'] } } }]]);
  });

  test('S72 a masked path for each CPU of a large machine, and variables of thousands of services, are accepted', async () => {
    const { send, asked } = ready();
    const maskedPaths = Array.from(
      { length: 8192 },
      (_none, at) => `/sys/devices/system/cpu/cpu${at}/thermal_throttle`,
    );
    const envs = Array.from({ length: 28_000 }, (_none, at) => ({
      key: `SERVICE_${at}_PORT`,
      value: new TextEncoder().encode('tcp://10.0.0.1:80'),
    }));
    await send(method.createContainer, {
      podSandboxId: hex('a'),
      config: { ...small, envs, linux: { securityContext: { maskedPaths } } },
    });
    const spec = asked[0]?.[1] as { env: readonly unknown[]; security: { maskedPaths: readonly string[] } };
    expect(spec.security.maskedPaths).toEqual(maskedPaths);
    expect(spec.env).toHaveLength(28_000);
  });

  const full = {
    ...small,
    command: ['sh', '-c'],
    args: ['true', ''],
    workingDir: '/srv',
    envs: [{ key: 'A', value: new Uint8Array([0xc3, 0xa9]) }],
    mounts: [
      {
        containerPath: '/data',
        hostPath: '/srv/data',
        readonly: true,
        propagation: MountPropagation.PROPAGATION_BIDIRECTIONAL,
        selinuxRelabel: true,
        mountOptions: ['nosuid', 'nodev', 'noexec', 'nodev'],
      },
    ],
    devices: [{ containerPath: '/dev/x', hostPath: '/dev/y', permissions: 'mrw' }],
    logPath: 'main/0.log',
    stdin: true,
    stdinOnce: true,
    tty: true,
    stopSignal: Signal.SIGRTMINPLUS3,
    linux: {
      securityContext: {
        privileged: true,
        capabilities: {
          addCapabilities: ['net_admin', 'CAP_SYS_ADMIN'],
          dropCapabilities: ['all', 'cap_new'],
          addAmbientCapabilities: ['chown'],
        },
        namespaceOptions: { network: NamespaceMode.NODE, pid: NamespaceMode.NODE },
        runAsUsername: 'www-data',
        runAsGroup: { value: 3n },
        noNewPrivs: true,
        readonlyRootfs: true,
        maskedPaths: ['/proc/acpi'],
        readonlyPaths: ['/proc/bus'],
        seccomp: { profileType: Profile.RuntimeDefault },
        apparmor: { profileType: Profile.Unconfined },
      },
    },
  };

  test('privileged is for a pod that is so by its record, or by the request: an ephemeral container came later', async () => {
    const { send, asked } = ready();
    const { image } = full;
    const config = { metadata: full.metadata, image, linux: { securityContext: { privileged: true } } };
    const inPod = { podSandboxId: hex('a'), config };
    const podOf = (privileged: boolean) => ({ linux: { securityContext: { privileged } } });
    for (const sandboxConfig of [{}, podOf(false)])
      await expect(send(method.createContainer, { ...inPod, sandboxConfig })).rejects.toThrow(
        'is set, but the sandbox is not privileged',
      );
    expect(asked).toEqual([]);
    await send(method.createContainer, { ...inPod, sandboxConfig: podOf(true) });
    expect(asked).toMatchObject([['createContainer', { security: { privileged: true } }]]);
  });

  test('mounts are judged by the handler that the sandbox was created with, not by the default of now', async () => {
    const { put, send, asked } = ready();
    const spec = { ...podSpec, handler: '', runtime: { name: 'crun', needsPause: false } };
    put(sandboxView(sandboxId('c'), { spec }));
    const { metadata: own, image } = full;
    const mounts = [{ containerPath: '/data', hostPath: '/srv', readonly: true, recursiveReadOnly: true }];
    const config = { metadata: own, image, mounts };
    await send(method.createContainer, { podSandboxId: hex('c'), config });
    expect(asked).toHaveLength(1);
    await expect(send(method.createContainer, { podSandboxId: hex('a'), config })).rejects.toThrow(
      'recursive',
    );
  });

  test('every supported field arrives', async () => {
    const { send, asked } = ready();
    await send(method.createContainer, { podSandboxId: hex('b'), config: full });
    expect(asked).toMatchObject([
      [
        'createContainer',
        {
          command: ['sh', '-c'],
          args: ['true', ''],
          workingDir: '/srv',
          env: [{ name: 'A', value: 'é' }],
          mounts: [
            {
              containerPath: '/data',
              hostPath: '/srv/data',
              readonly: true,
              propagation: 'bidirectional',
              selinuxRelabel: true,
              options: ['nodev', 'noexec', 'nosuid'],
            },
          ],
          devices: [{ containerPath: '/dev/x', hostPath: '/dev/y', permissions: 'mrw' }],
          stdin: true,
          stdinOnce: true,
          tty: true,
          stopSignal: 'SIGRTMIN+3',
          security: {
            privileged: true,
            capabilities: {
              add: ['CAP_NET_ADMIN', 'CAP_SYS_ADMIN'],
              drop: ['ALL', 'CAP_NEW'],
              addAmbient: ['CAP_CHOWN'],
            },
            namespaces: { network: 'node', pid: 'node', ipc: 'pod', targetId: undefined },
            user: { runAsUsername: 'www-data', runAsUser: undefined, runAsGroup: 3 },
            noNewPrivs: true,
            readonlyRootfs: true,
            maskedPaths: ['/proc/acpi'],
            readonlyPaths: ['/proc/bus'],
            seccomp: { type: 'runtimeDefault', path: '' },
            apparmorProfile: '',
          },
        },
      ],
    ]);
  });

  test('S31 CDI devices: those of the field, then those of the container’s own annotations, each once; not the sandbox’s', async () => {
    const { send, asked, put } = ready();
    put(
      sandboxView(sandboxId('a'), { spec: { ...podSpec, annotations: { 'cdi.k8s.io/z': 'evil.com/x=0' } } }),
    );
    const annotations = {
      'cdi.k8s.io/b': 'v.com/c=3,v.com/c=1',
      'cdi.k8s.io/a': 'v.com/c=2',
      'cdi.other/x': 'none',
    };
    const CDIDevices = [{ name: 'v.com/c=1' }, { name: 'v.com/c=0:a.b' }, { name: 'v.com/c=1' }];
    await send(method.createContainer, {
      podSandboxId: hex('a'),
      config: { ...small, annotations, CDIDevices },
    });
    await send(method.createContainer, { podSandboxId: hex('a'), config: small });
    expect(asked).toMatchObject([
      ['createContainer', { cdiDevices: ['v.com/c=1', 'v.com/c=0:a.b', 'v.com/c=2', 'v.com/c=3'] }],
      ['createContainer', {}],
    ]);
    expect(asked[1]?.[1]).not.toHaveProperty('cdiDevices');
  });

  test('SELinux options arrive on a machine with SELinux, and are ignored without', async () => {
    const selinuxOptions = { user: 'u', role: '', type: 'spc_t', level: 's0-s0:c0.c1023' };
    for (const [selinuxEnabled, expected] of [
      [true, selinuxOptions],
      [false, undefined],
    ] as const) {
      const { send, asked, put } = stage({}, { selinuxEnabled });
      put(sandboxView(sandboxId('a')));
      await send(method.runPodSandbox, {
        config: { metadata, linux: { securityContext: { selinuxOptions } } },
      });
      await send(method.createContainer, {
        podSandboxId: hex('a'),
        config: { ...small, linux: { securityContext: { selinuxOptions } } },
      });
      await send(method.createContainer, {
        podSandboxId: hex('a'),
        config: { ...small, linux: { securityContext: { selinuxOptions: {} } } },
      });
      expect(asked.map(([, spec]) => (spec as { selinux?: unknown }).selinux)).toEqual([
        expected,
        expected,
        undefined,
      ]);
    }
  });

  test('TARGET is accepted as a prefix of a container in the same pod', async () => {
    const { send, asked } = ready();
    const namespaceOptions = { pid: NamespaceMode.TARGET, targetId: '11' };
    await send(method.createContainer, {
      podSandboxId: hex('a'),
      config: { ...small, linux: { securityContext: { namespaceOptions } } },
    });
    expect(asked).toMatchObject([
      ['createContainer', { security: { namespaces: { pid: 'target', targetId: hex('1') } } }],
    ]);
  });

  test('an image volume is resolved from any of its names to the id; a missing one has the kubelet’s word', async () => {
    const { send, asked, fails } = ready();
    const volume = {
      containerPath: '/v',
      readonly: true,
      recursiveReadOnly: false,
      image: { image: 'busybox' },
      imageSubPath: 'a/b',
      mountOptions: ['noexec'],
    };
    await send(method.createContainer, { podSandboxId: hex('a'), config: { ...small, mounts: [volume] } });
    expect(asked).toMatchObject([
      [
        'createContainer',
        {
          mounts: [
            {
              containerPath: '/v',
              hostPath: '',
              readonly: true,
              propagation: 'private',
              options: ['noexec'],
              image: { id: imageId('1'), subPath: 'a/b' },
            },
          ],
        },
      ],
    ]);
    const config = { ...small, mounts: [{ ...volume, image: { image: 'missing' } }] };
    expect(await fails(method.createContainer, { podSandboxId: hex('a'), config })).toEqual({
      code: 'unknown',
      message: 'ImageVolumeMountFailed: config.mounts[0].image: image missing: not found',
    });
  });

  test('a prefix of several images’ ids is refused, for the container and for its volumes', async () => {
    const { fails, asked } = ready();
    const several = { image: 'several' };
    const volume = { containerPath: '/models', readonly: true, image: several };
    for (const config of [
      { ...small, image: several },
      { ...small, mounts: [volume] },
    ])
      expect(await fails(method.createContainer, { podSandboxId: hex('a'), config })).toEqual({
        code: 'invalidArgument',
        message: 'CreateContainer: image several: it is a prefix of several ids',
      });
    expect(asked).toEqual([]);
  });

  test('a missing image and a missing sandbox are NotFound', async () => {
    const { fails } = ready();
    const config = { ...small, image: { image: 'missing' } };
    expect(await fails(method.createContainer, { podSandboxId: hex('a'), config })).toEqual({
      code: 'notFound',
      message: 'CreateContainer: image missing: not found',
    });
    expect(await fails(method.createContainer, { podSandboxId: hex('f'), config: small })).toMatchObject({
      code: 'notFound',
    });
    expect(await fails(method.createContainer, { podSandboxId: hex('a') })).toMatchObject({
      code: 'invalidArgument',
    });
  });

  test('every stop signal of the contract has its own name', async () => {
    const { send, asked } = ready();
    for (const stopSignal of Object.values(Signal)) {
      await send(method.createContainer, { podSandboxId: hex('a'), config: { ...small, stopSignal } });
    }
    const names = asked.map(([, spec]) => (spec as { stopSignal: string }).stopSignal);
    expect(new Set(names).size).toBe(66);
    expect(names).toEqual(
      expect.arrayContaining(['', 'SIGTERM', 'SIGCLD', 'SIGRTMIN', 'SIGRTMIN+15', 'SIGRTMAX-14', 'SIGRTMAX']),
    );
  });
});
