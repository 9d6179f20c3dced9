/** The real drivers under the suites that the simulation's twins keep to (test/sim/conformance.test.ts). */
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { parseSandboxId } from '../../../src/base/ids.ts';
import type { SandboxId } from '../../../src/base/ids.ts';
import { detectCgroups } from '../../../src/host/cgroups/cgroup-layout.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { createLayout, sandboxCgroup } from '../../../src/host/sandbox/layout.ts';
import { unmount } from '../../../src/host/mounts/mounts.ts';
import { stopKernelThread } from '../../../src/host/kernel-thread/kernel-thread.ts';
import { createHostDriver } from '../../../src/host/sandbox/sandbox-driver.ts';
import { openDisk } from '../../../src/journal/disk.ts';
import { diskConformance } from '../../conformance/disk.ts';
import { hostConformance } from '../../conformance/host.ts';
import { networkConformance } from '../../conformance/network.ts';
import { sandboxInput } from '../../unit/network/fake-plugins.ts';
import { BenchNet, whyNot } from '../network/bench-net.ts';

diskConformance('a real directory', async () => {
  const root = await mkdtemp(join(tmpdir(), 'troupe-disk-'));
  return { disk: await openDisk(join(root, 'journal')), close: () => rm(root, { recursive: true }) };
});

const why = whyNot();
if (why === '') {
  networkConformance('bridge and host-local', async () => {
    const net = new BenchNet();
    net.conflist('n', [net.bridgeConf(['10.231.77.0/24'])]);
    return {
      port: await net.driver(),
      sandbox: (number) => sandboxInput(net.pod(number)),
      loseNamespace: ({ id }) => net.dropPod(id),
      leases: () => net.leases('n').length,
      close: () => net.close(),
    };
  });
} else process.stdout.write(`skipped: network conformance of the real driver: ${why}\n`);

const isRoot = process.getuid?.() === 0;
if (isRoot) {
  const cgroups = await detectCgroups();
  const parent = `/troupe-conformance-${process.pid}`;
  const directories = cgroups.hierarchies.map((one) => join(one.mountPoint, parent));
  const idOf = (number: number): SandboxId => {
    const id = parseSandboxId(`${number.toString(16).padStart(8, '0')}${'c'.repeat(56)}`);
    if (id === undefined) throw new Error(`no id of ${number}`);
    return id;
  };
  afterAll(() => stopKernelThread());

  hostConformance('the kernel', async () => {
    const root = mkdtempSync(join(tmpdir(), 'troupe-host-'));
    const layout = createLayout({ root: join(root, 'root'), state: join(root, 'state') });
    for (const directory of [layout.sandboxesDir, layout.pinsDir]) mkdirSync(directory, { recursive: true });
    for (const directory of directories) mkdirSync(directory);
    return {
      port: createHostDriver({
        layout,
        cgroups,
        clock: realClock(),
        hostResolvConf: '/etc/resolv.conf',
        hostHosts: '/etc/hosts',
      }),
      sandbox: (number) =>
        sandboxInput(idOf(number), { cgroupParent: parent, logDirectory: join(root, 'logs') }),
      hasCgroup: ({ id }) =>
        cgroups.hierarchies.some((one) => existsSync(join(one.mountPoint, sandboxCgroup(parent, id)))),
      losePin: async ({ id }, pin) => void (await unmount(layout.pin(id, pin), { lazy: true })),
      close: async () => {
        for (const directory of directories) rmdirSync(directory);
        rmSync(root, { recursive: true });
      },
    };
  });
} else process.stdout.write('skipped: host conformance of the real driver: needs root\n');
