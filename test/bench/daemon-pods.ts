// The daemon's side of the bench: pods through its socket, each step timed, and the memory of its process.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import {
  NamespaceMode,
  RuntimeService,
  SecurityProfile_ProfileType,
} from '../../src/gen/runtime/v1/api_pb.ts';
import {
  type ContainerConfig,
  containerConfig,
  type SandboxConfig,
  sandboxConfig,
} from '../e2e/support/pods.ts';
import type { World } from '../e2e/support/world.ts';
import type { Parts } from './floor.ts';
import { goCaller } from './go-calls.ts';
import { MAPPED, PLAIN, type Setting } from './setting.ts';

export interface DaemonPod {
  readonly podSandboxId: string;
  readonly containerId: string;
  readonly startParts: Parts;
  /** StopContainer, RemoveContainer, StopPodSandbox, RemovePodSandbox. */
  readonly stop: () => Promise<Parts>;
}

const seccomp = { profileType: SecurityProfile_ProfileType.RuntimeDefault };
const usernsOptions = { mode: NamespaceMode.POD, uids: [MAPPED], gids: [MAPPED] };

let number = 0;

/**
 * Killed, not asked to end: a shell that is asked before it has set its trap doesn't hear it, since the kernel drops
 * what the first process of a PID namespace doesn't handle.
 */
const PROGRAM = ['sleep', '36000'] as const;

/** Whose pods they are. */
export interface PodPlace extends Pick<World, 'socket' | 'logs'> {
  /** The image by name, which CRI-O wants to know. */
  readonly imageName: string;
  /** Left out: the runtime's own. */
  readonly cgroupParent?: string;
}

/** RunPodSandbox, CreateContainer, StartContainer. */
export async function startPod(
  { socket, logs, imageName, cgroupParent }: PodPlace,
  image: string,
  network: 'pod' | 'host',
  setting = PLAIN,
): Promise<DaemonPod> {
  number += 1;
  const name = `bench-${number}`;
  const logDirectory = join(logs, name);
  // as the kubelet does; conmon makes none
  mkdirSync(join(logDirectory, 'main'), { recursive: true });
  const hostNetwork = network === 'host';
  const config = secured(
    sandboxConfig({
      name,
      logDirectory,
      hostNetwork,
      ...(cgroupParent === undefined ? {} : { cgroupParent }),
    }),
    setting,
  );
  const startParts: Record<string, number> = {};
  const { podSandboxId } = await timedCall(socket, startParts, method.runPodSandbox, { config });
  const { containerId } = await timedCall(socket, startParts, method.createContainer, {
    podSandboxId,
    sandboxConfig: config,
    config: secured(
      containerConfig({
        name: 'main',
        image,
        imageName,
        command: PROGRAM,
        hostNetwork,
        hugepageLimits: [],
      }),
      setting,
    ),
  });
  await timedCall(socket, startParts, method.startContainer, { containerId });
  const stop = async (): Promise<Parts> => {
    const parts: Record<string, number> = {};
    await timedCall(socket, parts, method.stopContainer, { containerId, timeout: 0n });
    await timedCall(socket, parts, method.removeContainer, { containerId });
    await timedCall(socket, parts, method.stopPodSandbox, { podSandboxId });
    await timedCall(socket, parts, method.removePodSandbox, { podSandboxId });
    return parts;
  };
  return { podSandboxId, containerId, startParts, stop };
}

const { method } = RuntimeService;

/** Makes the call by a client in Go; its ms become a part. */
async function timedCall<M extends DescMethodUnary>(
  socket: string,
  parts: Record<string, number>,
  rpc: M,
  request: MessageInitShape<M['input']>,
): Promise<MessageShape<M['output']>> {
  const { answer, ms } = await (await goCaller(socket)).call(rpc, request);
  parts[rpc.name] = ms;
  return answer;
}

/** ms of ExecSync of true in this container. */
export async function execTrue({ socket }: Pick<PodPlace, 'socket'>, containerId: string): Promise<number> {
  const request = { containerId, cmd: ['true'], timeout: 10n };
  return (await (await goCaller(socket)).call(method.execSync, request)).ms;
}

/** The request with what its setting adds to the security context. */
function secured<C extends SandboxConfig | ContainerConfig>(config: C, { hasSeccomp, hasUsers }: Setting): C {
  const context = config.linux?.securityContext;
  return {
    ...config,
    linux: {
      ...config.linux,
      securityContext: {
        ...context,
        ...(hasSeccomp ? { seccomp } : {}),
        namespaceOptions: { ...context?.namespaceOptions, ...(hasUsers ? { usernsOptions } : {}) },
      },
    },
  };
}

/** ms of each call. */
export async function latencies(count: number, call: () => Promise<unknown>): Promise<number[]> {
  const all: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const startedAt = performance.now();
    await call();
    all.push(performance.now() - startedAt);
  }
  return all;
}

export interface Memory {
  /** MiB. */
  readonly rss: number;
  readonly pss: number;
  readonly anonymous: number;
}

/** proc(5), /proc/pid/smaps_rollup: in kB. */
export function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const mib = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN) / 1024;
  return { rss: mib('Rss'), pss: mib('Pss'), anonymous: mib('Anonymous') };
}
