// Checkpoint and restore by the machine's own CRIU: the filters of a container are those that it had.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ContainerConfigSchema,
  PodSandboxConfigSchema,
  SecurityProfileSchema,
  SecurityProfile_ProfileType,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { containerConfig, sandboxConfig } from '../../e2e/support/pods.ts';
import { makeWorld } from '../../e2e/support/world.ts';
import type { World } from '../../e2e/support/world.ts';
import { filtersOf } from '../../support/seccomp/filters.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';
import { closeWorld, makePod, removePod } from './pod.ts';

const RUNC = '/usr/sbin/runc';
const criu = (process.env['PATH'] ?? '')
  .split(':')
  .map((directory) => join(directory, 'criu'))
  .find((path) => existsSync(path) && spawnSync(path, ['check']).status === 0);
const why =
  notRoot() || (process.arch === 'x64' && criu !== undefined ? '' : 'needs a CRIU that works on this kernel');
if (why !== '') console.log(`skipped, restores by CRIU: ${why}`);

unless(describe, why)('a restore by CRIU', () => {
  let archives: string;
  let world: World;
  beforeAll(async () => {
    archives = mkdtempSync(join(tmpdir(), 'troupe-archives-'));
    world = await makeWorld({
      name: 'criu',
      network: 'host-only',
      config: [
        `[runtime]\ncriu = "${criu ?? ''}"\nrestore = true`,
        `[runtime.handlers.list]\npath = "${RUNC}"\nshort_seccomp = false\n`,
      ].join('\n'),
    });
  });
  afterAll(async () => {
    rmSync(archives, { recursive: true });
    expect(await closeWorld(world)).toEqual([]);
  });

  const pidOf = async (containerId: string): Promise<number> => {
    const { info } = await world.client.runtime.containerStatus({ containerId, verbose: true });
    return (JSON.parse(info['info'] ?? '{}') as { pid: number }).pid;
  };
  const ofExec = async (containerId: string): Promise<string | undefined> => {
    const { stdout } = await world.client.runtime.execSync({
      containerId,
      cmd: ['cat', '/proc/self/status'],
      timeout: 60n,
    });
    return /^Seccomp_filters:\s*(\d+)$/mu.exec(Buffer.from(stdout).toString())?.[1];
  };

  /** Restores the archive in a pod of its own. */
  async function restored(name: string, archive: string) {
    const config = create(
      PodSandboxConfigSchema,
      sandboxConfig({ name, logDirectory: join(world.logs, name), hostNetwork: true }),
    );
    const { podSandboxId } = await world.client.runtime.runPodSandbox({ config, runtimeHandler: '' });
    const wanted = create(
      ContainerConfigSchema,
      containerConfig({ name: 'main', image: archive, command: ['sleep', '3600'], hostNetwork: true }),
    );
    if (wanted.linux?.securityContext !== undefined)
      wanted.linux.securityContext.seccomp = create(SecurityProfileSchema, {
        profileType: SecurityProfile_ProfileType.RuntimeDefault,
      });
    const { containerId } = await world.client.runtime.createContainer({
      podSandboxId,
      config: wanted,
      sandboxConfig: config,
    });
    await world.client.runtime.startContainer({ containerId });
    return { podSandboxId, containerId };
  }

  it.each([
    ['short', '', 2],
    ['allow-list', 'list', 1],
  ])(
    'S73: init has the filters that it had, in the %s form; an exec has both of the short form',
    async (name, runtimeHandler, count) => {
      const pod = await makePod(world, `before-${runtimeHandler}`, { runtimeHandler, isConfined: true });
      await world.client.runtime.startContainer({ containerId: pod.containerId });
      const before = filtersOf(await pidOf(pod.containerId));
      expect(before).toHaveLength(count);
      const location = join(archives, `${name}.tar`);
      await world.client.runtime.checkpointContainer({
        containerId: pod.containerId,
        location,
        timeout: 60n,
      });
      await removePod(world, pod.sandboxId);
      const { podSandboxId, containerId } = await restored(`after-${runtimeHandler}`, location);
      expect(filtersOf(await pidOf(containerId))).toEqual(before);
      expect(await ofExec(containerId)).toBe('2');
      await removePod(world, podSandboxId);
    },
  );
});
