/** User namespaces of pods, and the volumes that follow them, as they are asked for and answered. */
import { describe, expect, test } from 'vitest';
import type {
  ContainerConfigSchema,
  NamespaceOptionSchema,
  PodSandboxConfigSchema,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { MountPropagation, NamespaceMode, RuntimeService } from '../../../src/gen/runtime/v1/api_pb.ts';
import type { Fields } from './stage.ts';
import { hex, podSpec, sandboxId, sandboxView, stage } from './stage.ts';

const { runPodSandbox, createContainer, podSandboxStatus } = RuntimeService.method;
type Options = Fields<typeof NamespaceOptionSchema>;
type Config = Fields<typeof ContainerConfigSchema>;

const ids = { containerId: 0, hostId: 1000, length: 100_000 };
const groups = { containerId: 0, hostId: 200_000, length: 100_000 };
const own: Options = { usernsOptions: { mode: NamespaceMode.POD, uids: [ids], gids: [groups] } };
const at = 'config.linux.security_context.namespace_options.userns_options';

const pod = (
  namespaceOptions: Options,
  runtimeHandler = '',
): { readonly config: Fields<typeof PodSandboxConfigSchema>; readonly runtimeHandler: string } => ({
  config: {
    metadata: { name: 'web', namespace: 'shop', uid: 'u', attempt: 0 },
    linux: { securityContext: { namespaceOptions } },
  },
  runtimeHandler,
});

describe('RunPodSandbox', () => {
  test('one mapping each gives the pod a user namespace', async () => {
    const { send, asked } = stage();
    await send(runPodSandbox, pod(own));
    expect(asked).toMatchObject([
      [
        'runSandbox',
        {
          namespaces: {
            network: 'pod',
            pid: 'pod',
            user: { uids: { hostId: 1000, length: 100_000 }, gids: { hostId: 200_000 } },
          },
        },
      ],
    ]);
  });

  test.each<[string, Options]>([
    ['nothing said', {}],
    ['NODE', { usernsOptions: { mode: NamespaceMode.NODE } }],
  ])('%s: the pod is in the host’s', async (_what, options) => {
    const { send, asked } = stage();
    await send(runPodSandbox, pod(options));
    const [, spec] = asked[0] ?? [];
    expect(spec).toMatchObject({ namespaces: { network: 'pod' } });
    expect(spec).not.toHaveProperty('namespaces.user');
  });

  const wrong = (part: Partial<typeof ids>): Options => ({
    usernsOptions: { mode: NamespaceMode.POD, uids: [{ ...ids, ...part }], gids: [groups] },
  });
  test.each<[string, string, Options]>([
    [`${at}.mode`, 'CONTAINER', { usernsOptions: { mode: NamespaceMode.CONTAINER } }],
    [`${at}.mode`, 'TARGET', { usernsOptions: { mode: NamespaceMode.TARGET, uids: [ids], gids: [ids] } }],
    [at, 'NODE with mappings', { usernsOptions: { mode: NamespaceMode.NODE, uids: [ids] } }],
    [`${at}.uids`, 'none', { usernsOptions: { mode: NamespaceMode.POD, gids: [ids] } }],
    [`${at}.gids`, 'none', { usernsOptions: { mode: NamespaceMode.POD, uids: [ids] } }],
    [
      `${at}.gids`,
      'two',
      {
        usernsOptions: {
          mode: NamespaceMode.POD,
          uids: [ids],
          gids: [ids, { ...ids, containerId: 100_000 }],
        },
      },
    ],
    [
      `${at}.gids`,
      'of another length',
      { usernsOptions: { mode: NamespaceMode.POD, uids: [ids], gids: [{ ...ids, length: 1 }] } },
    ],
    [`${at}.uids[0]`, 'without id 0', wrong({ containerId: 1 })],
    [`${at}.uids[0].length`, 'of no length', wrong({ length: 0 })],
    [`${at}.uids[0].length`, 'beyond the highest id', wrong({ hostId: 4_294_867_296 })],
    [`${at}.uids[0].length`, 'that wraps round', wrong({ hostId: 1, length: 4_294_967_295 })],
  ])('%s: %s is refused', async (field, _what, options) => {
    const { fails, asked } = stage();
    const { code, message } = await fails(runPodSandbox, pod(options));
    expect([code, message.startsWith(`RunPodSandbox: ${field}: `)], message).toEqual([
      'invalidArgument',
      true,
    ]);
    expect(asked).toEqual([]);
  });

  test('mappings up to the highest id are accepted', async () => {
    const { send, asked } = stage();
    await send(
      runPodSandbox,
      pod({
        usernsOptions: { mode: NamespaceMode.POD, uids: [{ ...ids, hostId: 4_294_867_295 }], gids: [groups] },
      }),
    );
    expect(asked).toHaveLength(1);
  });

  test('a handler without user namespaces is refused', async () => {
    const { fails, send, asked } = stage();
    const { code, message } = await fails(runPodSandbox, pod(own, 'crun'));
    expect([code, message]).toEqual([
      'invalidArgument',
      expect.stringContaining(`${at}: user namespaces are not supported by the runtime handler`),
    ]);
    await send(runPodSandbox, pod({}, 'crun'));
    expect(asked).toHaveLength(1);
  });
});

describe('in a pod with a user namespace', () => {
  const user = { uids: ids, gids: groups };
  const mapped = sandboxView(sandboxId('a'), {
    spec: { ...podSpec, handler: '', namespaces: { ...podSpec.namespaces, user } },
  });
  const ready = (): ReturnType<typeof stage> => {
    const made = stage();
    made.put(mapped);
    return made;
  };
  const config = (more: Config = {}): { readonly podSandboxId: string; readonly config: Config } => ({
    podSandboxId: hex('a'),
    config: { metadata: { name: 'main' }, image: { image: 'busybox' }, ...more },
  });
  const options = (namespaceOptions: Options): Config => ({
    linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER, ...namespaceOptions } } },
  });

  test('the status shows it', async () => {
    const { status } = await ready().send(podSandboxStatus, { podSandboxId: hex('a') });
    expect(status?.linux?.namespaces?.options?.usernsOptions).toMatchObject({
      mode: NamespaceMode.POD,
      uids: [ids],
      gids: [groups],
    });
  });

  test.each<[string, Config]>([
    ['the same', options(own)],
    ['nothing', {}],
  ])('a container that states %s is in it', async (_what, more) => {
    const { send, asked } = ready();
    await send(createContainer, config(more));
    expect(asked).toMatchObject([['createContainer', { security: { namespaces: { user } } }]]);
  });

  test.each<[string, Options]>([
    ['NODE', { usernsOptions: { mode: NamespaceMode.NODE } }],
    ['options without it', {}],
    [
      'another range',
      { usernsOptions: { mode: NamespaceMode.POD, uids: [{ ...ids, hostId: 1001 }], gids: [groups] } },
    ],
    [
      'other groups',
      { usernsOptions: { mode: NamespaceMode.POD, uids: [ids], gids: [{ ...groups, hostId: 5 }] } },
    ],
  ])('a container that states %s is refused', async (_what, other) => {
    const { fails, asked } = ready();
    const { code, message } = await fails(createContainer, config(options(other)));
    expect([code, message]).toEqual([
      'invalidArgument',
      `CreateContainer: ${at}: differs from the user namespace of the sandbox`,
    ]);
    expect(asked).toEqual([]);
  });

  test('a volume with mappings keeps them; one without has none', async () => {
    const { send, asked } = ready();
    const plain = { containerPath: '/b', hostPath: '/srv/b' };
    await send(
      createContainer,
      config({
        mounts: [
          { containerPath: '/a', hostPath: '/srv/a', uidMappings: [ids], gidMappings: [groups] },
          plain,
        ],
      }),
    );
    expect(asked).toMatchObject([
      ['createContainer', { mounts: [{ containerPath: '/a', idMappings: user }, { containerPath: '/b' }] }],
    ]);
    expect(asked).not.toHaveProperty('0.1.mounts.1.idMappings');
  });

  test('a handler without id-mapped mounts is refused for such a volume', async () => {
    const { fails, put } = stage();
    put(sandboxView(sandboxId('a'), { spec: { ...podSpec, handler: 'crun' } }));
    const { message } = await fails(
      createContainer,
      config({
        mounts: [{ containerPath: '/a', hostPath: '/srv/a', uidMappings: [ids], gidMappings: [groups] }],
      }),
    );
    expect(message).toContain(
      'config.mounts[0].uidMappings: ID-mapped mounts are not supported by the runtime handler',
    );
  });

  test('mounts do not propagate to the host, and a mount that requests it is refused', async () => {
    const { fails, send } = ready();
    const mount = { containerPath: '/a', hostPath: '/srv/a' };
    const { message } = await fails(
      createContainer,
      config({ mounts: [{ ...mount, propagation: MountPropagation.PROPAGATION_BIDIRECTIONAL }] }),
    );
    expect(message).toContain(
      'config.mounts[0].propagation: PROPAGATION_BIDIRECTIONAL is not possible in a user namespace',
    );
    await send(
      createContainer,
      config({ mounts: [{ ...mount, propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER }] }),
    );
  });

  test('a device under another name is refused, since it cannot be created there', async () => {
    const { fails, send, asked } = ready();
    const { message } = await fails(
      createContainer,
      config({ devices: [{ hostPath: '/dev/null', containerPath: '/dev/other', permissions: 'r' }] }),
    );
    expect(message).toContain('config.devices[0].container_path: differs from host_path');
    await send(
      createContainer,
      config({ devices: [{ hostPath: '/dev/null', containerPath: '/dev/null', permissions: 'r' }] }),
    );
    expect(asked).toHaveLength(1);
  });
});
