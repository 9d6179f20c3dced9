// The second boot: systemd has started troupe, which has found its journal and a machine without anything of its pods.
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContainerState, PodSandboxState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { untilTermed } from '../../e2e/support/pods.ts';
import { check, Node, untilNoUnits, recall, served, systemctl } from './node.ts';
import { until } from '../../support/eventually.ts';

interface Before {
  readonly pod: string;
  readonly stopped: string;
  readonly ended: string;
  readonly created: string;
  readonly running: string;
  readonly ip: string;
}

let node: Node;
let before: Before;
beforeAll(async () => {
  await served();
  node = new Node(await recall<string>('image'));
  before = await recall<Before>('pods');
});
afterAll(() => node.close());

/** Addresses that the default network's host-local has given away. */
const leases = (): string[] => {
  const root = '/var/lib/troupe/cni/leases';
  return readdirSync(root, { recursive: true })
    .map(String)
    .map((path) => path.split('/').at(-1) ?? '')
    .filter((name) => /^\d+\.\d+\.\d+\.\d+$/u.test(name));
};

describe('after a reboot', () => {
  it('the service was started by systemd', async () => {
    expect(await systemctl('is-active', 'troupe')).toBe('active');
  });

  it('pods are not ready, containers have ended with their exit codes', async () => {
    const { items } = await node.client.runtime.listPodSandbox({});
    expect(items.map(({ id }) => id).sort()).toEqual([before.pod, before.stopped].sort());
    for (const { state } of items) expect(state).toBe(PodSandboxState.SANDBOX_NOTREADY);
    const { containers } = await node.client.runtime.listContainers({});
    expect(containers.map(({ state }) => state)).toEqual([
      ContainerState.CONTAINER_EXITED,
      ContainerState.CONTAINER_EXITED,
      ContainerState.CONTAINER_EXITED,
    ]);
    expect((await node.status(before.ended)).exitCode).toBe(7);
    // ended by the shutdown before troupe was, or with the machine; one that was never started was the runtime's init,
    // and runc's (Go, as PID 1 of its namespace) ends with 2 when it is asked by SIGTERM
    for (const [id, codes] of [
      [before.created, [0, 2, 137, 143, 255]],
      [before.running, [0, 137, 143, 255]],
    ] as const) {
      const { finishedAt, reason, exitCode } = await node.status(id);
      expect(finishedAt).toBeGreaterThan(0n);
      expect(codes).toContain(exitCode);
      if (exitCode === 255) expect(reason).toBe('Unknown');
    }
  });

  it('CNI DEL has run: no address is held', async () => {
    expect(before.ip).not.toBe('');
    await until(async () => leases().length === 0);
  });

  it('the same pod starts again with its next attempt, without stale leftovers', async () => {
    const again = await node.runPod('before', {}, { attempt: 1 });
    const id = await node.start(again, 'running', untilTermed(0));
    expect((await node.status(id)).state).toBe(ContainerState.CONTAINER_RUNNING);
    expect(leases()).toHaveLength(1);
    await node.removePod(again.id);
  });

  it('everything can be removed, and nothing is left', async () => {
    for (const id of [before.pod, before.stopped]) await node.removePod(id);
    expect((await node.client.runtime.listPodSandbox({})).items).toEqual([]);
    expect((await node.client.runtime.listContainers({})).containers).toEqual([]);
    await untilNoUnits();
    expect(leases()).toEqual([]);
    const found = await check();
    expect([found.code, found.stdout]).toEqual([0, expect.any(String)]);
  });
});
