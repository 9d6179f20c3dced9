/** The pod and the container of `troupe run`. Pure. */
import { NamespaceMode, SecurityProfile_ProfileType } from '../../gen/runtime/v1/api_pb.ts';
import type { RuntimeClient } from '../../introspection/image-client.ts';
import { DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS } from '../../oci/runtime/spec/masked.ts';
import { fail } from '../../base/fault.ts';
import type { CommandLine } from '../config/command-line.ts';
import { programLimits } from '../bounds.ts';

type PodRequest = NonNullable<Parameters<RuntimeClient['runPodSandbox']>[0]['config']>;
type ContainerRequest = NonNullable<Parameters<RuntimeClient['createContainer']>[0]['config']>;

/** Namespace of the pods, so that their names are short in every command. */
export const RUN_NAMESPACE = 'default';

/** The label of pods of `troupe run`: `troupe rm` removes these only. */
export const RUN_LABEL = { name: 'app.kubernetes.io/managed-by', value: 'troupe-run' } as const;

export interface PodRunOptions {
  readonly image: string;
  /** Replace the image's arguments; its entrypoint stays. */
  readonly args: readonly string[];
  readonly name: string;
  readonly isHostNetwork: boolean;
  readonly env: readonly (readonly [string, string])[];
  readonly volumes: readonly Volume[];
  readonly stdin: boolean;
  readonly tty: boolean;
  /** It stays after its end. */
  readonly keep: boolean;
  /** It is started, and not waited for. */
  readonly detach: boolean;
}

interface Volume {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly readonly: boolean;
}

/** What the command line asks for; `random` are hex digits. Throws `invalidRequest`. */
export function readRunOptions(
  { options, flags, words, lists = {} }: CommandLine,
  random: string,
): PodRunOptions {
  const [image = '', ...args] = words;
  const detach = flags.has('detach');
  const keep = flags.has('keep') || detach;
  const refuse = (reason: string): never => fail('invalidRequest', reason);
  if (flags.has('rm') && keep) refuse(`--rm and --${detach ? 'detach' : 'keep'} exclude each other`);
  if (detach && (flags.has('stdin') || flags.has('tty'))) refuse('--detach excludes -i and -t');
  const network = options['network'] ?? 'pod';
  if (network !== 'pod' && network !== 'host') refuse(`--network ${network}: expected pod or host`);
  return {
    image,
    args,
    name: options['name'] ?? nameFor(image, random),
    isHostNetwork: network === 'host',
    env: (lists['env'] ?? []).map(parseVariable),
    volumes: (lists['volume'] ?? []).map(parseVolume),
    stdin: flags.has('stdin'),
    tty: flags.has('tty'),
    keep,
    detach,
  };
}

/** `busybox-3f2a1c` for `docker.io/library/busybox:1.36`: a DNS label, as names of pods are. */
function nameFor(image: string, random: string): string {
  const last = image.split('@')[0]?.split('/').at(-1)?.split(':')[0] ?? '';
  const label = last
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/gu, '-')
    .slice(0, programLimits.nameChars)
    .replaceAll(/^-+|-+$/gu, '');
  return `${label === '' ? 'run' : label}-${random.slice(0, programLimits.nameDigits)}`;
}

function parseVariable(text: string): readonly [string, string] {
  const equals = text.indexOf('=');
  return equals > 0
    ? [text.slice(0, equals), text.slice(equals + 1)]
    : fail('invalidRequest', `--env ${text}: expected NAME=VALUE`);
}

function parseVolume(text: string): Volume {
  const [hostPath = '', containerPath = '', mode, ...more] = text.split(':');
  const isRight = hostPath.startsWith('/') && containerPath.startsWith('/') && more.length === 0;
  if (!isRight || (mode !== undefined && mode !== 'ro' && mode !== 'rw'))
    return fail('invalidRequest', `--volume ${text}: expected /ON/THE/HOST:/IN/THE/CONTAINER[:ro]`);
  return { hostPath, containerPath, readonly: mode === 'ro' };
}

const labelsOf = (requested: PodRunOptions, uid: string): Record<string, string> => ({
  [RUN_LABEL.name]: RUN_LABEL.value,
  'io.kubernetes.pod.name': requested.name,
  'io.kubernetes.pod.namespace': RUN_NAMESPACE,
  'io.kubernetes.pod.uid': uid,
});

/** Without a log directory: the daemon makes one of its own, and removes it with the pod. */
export function podRequest(requested: PodRunOptions, uid: string): PodRequest {
  return {
    metadata: { name: requested.name, namespace: RUN_NAMESPACE, uid, attempt: 0 },
    hostname: requested.isHostNetwork ? '' : requested.name,
    labels: labelsOf(requested, uid),
    linux: { securityContext: { namespaceOptions: namespacesOf(requested), seccomp: RUNTIME_DEFAULT } },
  };
}

/** The container has the pod's name, so that either is found by it. No privileges: what a pod without any gets. */
export function containerRequest(requested: PodRunOptions, uid: string, image: string): ContainerRequest {
  return {
    metadata: { name: requested.name, attempt: 0 },
    image: { image, userSpecifiedImage: requested.image },
    args: [...requested.args],
    envs: requested.env.map(([key, value]) => ({ key, value: new TextEncoder().encode(value) })),
    mounts: [...requested.volumes],
    labels: { ...labelsOf(requested, uid), 'io.kubernetes.container.name': requested.name },
    logPath: `${requested.name}/0.log`,
    stdin: requested.stdin,
    stdinOnce: requested.stdin,
    tty: requested.tty,
    linux: {
      securityContext: {
        namespaceOptions: namespacesOf(requested),
        seccomp: RUNTIME_DEFAULT,
        maskedPaths: [...DEFAULT_MASKED_PATHS],
        readonlyPaths: [...DEFAULT_READONLY_PATHS],
      },
    },
  };
}

const RUNTIME_DEFAULT = { profileType: SecurityProfile_ProfileType.RuntimeDefault };

const namespacesOf = ({ isHostNetwork }: PodRunOptions) => ({
  network: isHostNetwork ? NamespaceMode.NODE : NamespaceMode.POD,
  pid: NamespaceMode.CONTAINER,
  ipc: NamespaceMode.POD,
});
