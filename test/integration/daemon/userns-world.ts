// A daemon with runc 1.4, and pods in it that have a user namespace of their own.
import { execFileSync } from 'node:child_process';
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { expect } from 'vitest';
import type {
  LinuxContainerSecurityContextSchema,
  LinuxSandboxSecurityContextSchema,
  NamespaceOptionSchema,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import {
  CDIDeviceSchema,
  ContainerConfigSchema,
  LinuxContainerConfigSchema,
  LinuxPodSandboxConfigSchema,
  MountSchema,
  NamespaceMode,
  PodSandboxConfigSchema,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { containerConfig, sandboxConfig, startUntilUp, untilTermed } from '../../e2e/support/pods.ts';
import type { World } from '../../e2e/support/world.ts';
import { makeWorld } from '../../e2e/support/world.ts';
import { busyboxImage } from '../../../scripts/support/busybox-image.ts';
import { type Image, imageOf, layerOf } from '../../../scripts/support/image.ts';
import type { TarEntry } from '../../../scripts/support/tar.ts';
import { specLimits } from '../../../src/oci/runtime/bounds.ts';
import { staticBusybox } from '../../support/tools/debian.ts';
import { runc14 } from '../../support/tools/go-tools.ts';
import type { Fields } from '../../unit/cri/stage.ts';

export const UID = 70_000;
export const GID = 140_000;
export const LENGTH = 65_536;
export const uids = [{ containerId: 0, hostId: UID, length: LENGTH }];
export const gids = [{ containerId: 0, hostId: GID, length: LENGTH }];
const usernsOptions = { mode: NamespaceMode.POD, uids, gids };
export const MAP = new RegExp(String.raw`^\s+0\s+${UID}\s+${LENGTH}\n$`, 'u');

export interface UsernsRequest {
  readonly command?: readonly string[];
  readonly namespaces?: Fields<typeof NamespaceOptionSchema>;
  readonly sysctls?: Readonly<Record<string, string>>;
  readonly mounts?: readonly Fields<typeof MountSchema>[];
  readonly security?: Fields<typeof LinuxContainerSecurityContextSchema>;
  readonly pod?: Fields<typeof LinuxSandboxSecurityContextSchema>;
  readonly workingDir?: string;
  readonly tty?: boolean;
  readonly cdi?: readonly string[];
}

export const namespaceOptions = (request: UsernsRequest): Fields<typeof NamespaceOptionSchema> => ({
  pid: NamespaceMode.CONTAINER,
  usernsOptions,
  ...request.namespaces,
});

/** The daemon; images of its registry have a passwd that leads out of the root, or is too large. */
export async function usernsWorld(): Promise<World> {
  const config = (directory: string): string => `[runtime]\ncdi_dirs = ["${join(directory, 'cdi')}"]\n`;
  const base = busyboxImage(staticBusybox()).layers;
  const passwd = (entry: TarEntry): Image =>
    imageOf({}, [
      ...base,
      layerOf([{ type: 'file', path: 'etc/.wh.passwd', mode: 0o644, content: '' }]),
      layerOf([entry]),
    ]);
  const images = new Map([
    // inside of the root it names itself, outside of it the host's users
    [
      'test/passwd:linked',
      passwd({ type: 'symlink', path: 'etc/passwd', target: '../../../../../../../../../etc/passwd' }),
    ],
    [
      'test/passwd:large',
      passwd({
        type: 'file',
        path: 'etc/passwd',
        mode: 0o644,
        content: `daemon:x:1:1:${'x'.repeat(specLimits.passwdBytes)}:/:/bin/sh\n`,
      }),
    ],
  ]);
  return await makeWorld({ name: 'user', runtimePath: await runc14(), config, images });
}

interface Bench {
  readonly runPod: (name: string, request?: UsernsRequest) => Promise<string>;
  readonly createContainer: (podSandboxId: string, name: string, request: UsernsRequest) => Promise<string>;
  readonly runContainer: (podSandboxId: string, name: string, request?: UsernsRequest) => Promise<string>;
  /** stdout of a shell in the container, which succeeds. */
  readonly exec: (containerId: string, script: string) => Promise<string>;
}

/** What tests do in the daemon that `worldNow` returns. */
export function benchOf(worldNow: () => World): Bench {
  async function runPod(name: string, request: UsernsRequest = {}): Promise<string> {
    const config = create(
      PodSandboxConfigSchema,
      sandboxConfig({ name, logDirectory: join(worldNow().logs, name) }),
    );
    config.linux = create(LinuxPodSandboxConfigSchema, {
      sysctls: { ...request.sysctls },
      securityContext: { ...request.pod, namespaceOptions: namespaceOptions(request) },
    });
    return (await worldNow().client.runtime.runPodSandbox({ config })).podSandboxId;
  }

  async function createContainer(
    podSandboxId: string,
    name: string,
    request: UsernsRequest,
  ): Promise<string> {
    const config = create(
      ContainerConfigSchema,
      containerConfig({ name, image: await worldNow().pull(), command: request.command ?? untilTermed(0) }),
    );
    config.mounts = (request.mounts ?? []).map((mount) => create(MountSchema, mount));
    config.workingDir = request.workingDir ?? '';
    config.tty = request.tty ?? false;
    config.CDIDevices = (request.cdi ?? []).map((cdiName) => create(CDIDeviceSchema, { name: cdiName }));
    config.linux = create(LinuxContainerConfigSchema, {
      securityContext: { ...request.security, namespaceOptions: namespaceOptions(request) },
    });
    return (await worldNow().client.runtime.createContainer({ podSandboxId, config })).containerId;
  }

  async function runContainer(
    podSandboxId: string,
    name: string,
    request: UsernsRequest = {},
  ): Promise<string> {
    const containerId = await createContainer(podSandboxId, name, request);
    if (request.command === undefined) await startUntilUp(worldNow().client, containerId);
    else await worldNow().client.runtime.startContainer({ containerId });
    return containerId;
  }

  async function exec(containerId: string, script: string): Promise<string> {
    const { stdout, stderr, exitCode } = await worldNow().client.runtime.execSync({
      containerId,
      cmd: ['sh', '-c', script],
      timeout: 30n,
    });
    expect([Buffer.from(stderr).toString(), exitCode]).toEqual(['', 0]);
    return Buffer.from(stdout).toString();
  }
  return { runPod, createContainer, runContainer, exec };
}

export const ownerOf = (path: string): readonly [number, number] => {
  const { uid, gid } = lstatSync(path);
  return [uid, gid];
};

/** Whether the command succeeds as a user whom nobody gave anything. */
export function asNobody(argv: readonly string[]): boolean {
  try {
    execFileSync('/usr/bin/setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', '--', ...argv], {
      stdio: 'ignore',
    });
    return true;
  } catch {
    return false;
  }
}
