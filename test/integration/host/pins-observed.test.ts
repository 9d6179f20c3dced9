// A pod's pins as `observe` reports them while the list of mounts does not have them.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { parseSandboxId } from '../../../src/base/ids.ts';
import type { SandboxId } from '../../../src/base/ids.ts';
import { detectCgroups } from '../../../src/host/cgroups/cgroup-layout.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { stopKernelThread } from '../../../src/host/kernel-thread/kernel-thread.ts';
import type * as mountPlaces from '../../../src/host/mounts/mount-places.ts';
import { unpinNamespaces } from '../../../src/host/namespaces/namespaces.ts';
import { createLayout } from '../../../src/host/sandbox/layout.ts';
import { createHostDriver } from '../../../src/host/sandbox/sandbox-driver.ts';
import { sandboxInput } from '../../unit/network/fake-plugins.ts';
import { fxOf } from '../../support/fx.ts';
import { describeAsRoot, scratchDirectory } from './support.ts';

// test files share a process: modules loaded before this file keep the real one, those loaded here the mock
vi.hoisted(() => vi.resetModules());
// at once, since nothing runs after a file whose tests are all skipped; and what is loaded later
vi.resetModules();
afterAll(() => vi.resetModules());

vi.mock('../../../src/host/mounts/mount-places.ts', async (original) => {
  const module = await original<typeof mountPlaces>();
  return { ...module, readMountPlaces: () => Promise.resolve(module.placesOf([])) };
});

describeAsRoot('a list of mounts that lacks pins', () => {
  const layout = createLayout({
    root: join(scratchDirectory('pins-observed'), 'root'),
    state: scratchDirectory('pins-observed-state'),
  });
  const id = parseSandboxId('d'.repeat(64)) as SandboxId;
  beforeAll(() => mkdirSync(layout.pinsDir, { recursive: true }));
  afterAll(async () => {
    await unpinNamespaces(layout.pinDir(id));
    await stopKernelThread();
  });

  test('does not count: each is checked by its path, and a plain file is not one', async () => {
    const driver = createHostDriver({
      layout,
      cgroups: await detectCgroups(),
      clock: realClock(),
      hostResolvConf: '/etc/resolv.conf',
      hostHosts: '/etc/hosts',
    });
    await driver.pinNamespaces(sandboxInput(id, {}), fxOf());
    writeFileSync(layout.pin(id, 'user'), '');
    const { sandboxes } = await driver.observe(fxOf());
    expect(sandboxes).toEqual([{ id, pins: ['net', 'ipc', 'uts'], files: false }]);
  });
});
