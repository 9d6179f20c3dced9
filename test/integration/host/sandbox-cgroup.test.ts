import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { HostPort, SandboxInput } from '../../../src/ports/host.ts';
import { parseSandboxId } from '../../../src/base/ids.ts';
import { detectCgroups } from '../../../src/host/cgroups/cgroup-layout.ts';
import {
  cgroupExists,
  createCgroup,
  moveProcess,
  removeCgroup,
  removedAtOnce,
} from '../../../src/host/cgroups/cgroups.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { makePipe } from '../../../src/host/io/descriptors.ts';
import { stopKernelThread } from '../../../src/host/kernel-thread/kernel-thread.ts';
import type { CgroupLayout, ThreadRequest } from '../../../src/host/kernel-thread/thread-protocol.ts';
import { spawnProcess } from '../../../src/host/process/process.ts';
import { createLayout, sandboxCgroup } from '../../../src/host/sandbox/layout.ts';
import { createHostDriver } from '../../../src/host/sandbox/sandbox-driver.ts';
import { until } from '../../support/eventually.ts';
import { fxOf } from '../../support/fx.ts';
import { sandboxInput } from '../../unit/network/fake-plugins.ts';
import { describeAsRoot, scratchDirectory } from './support.ts';

describeAsRoot('the removal of a pod’s cgroup', () => {
  const scratch = scratchDirectory('pod-cgroup');
  const parent = `/troupe-test-pod-${process.pid}`;
  const id = parseSandboxId('d'.repeat(64));
  let cgroups: CgroupLayout;
  let port: HostPort;
  let pod: SandboxInput;
  let path: string;

  beforeAll(async () => {
    if (id === undefined) throw new Error('no id');
    cgroups = await detectCgroups();
    port = createHostDriver({
      layout: createLayout({ root: join(scratch, 'root'), state: join(scratch, 'state') }),
      cgroups,
      clock: realClock(),
      hostResolvConf: '/etc/resolv.conf',
      hostHosts: '/etc/hosts',
    });
    pod = sandboxInput(id, { cgroupParent: parent });
    path = sandboxCgroup(parent, id);
  });
  beforeEach(() => port.makeSandboxCgroup(pod, fxOf()));
  afterEach(() => vi.restoreAllMocks());
  afterAll(async () => {
    await removeCgroup(cgroups, parent);
    await stopKernelThread();
  });

  test('without processes it is one request to the kernel thread', async () => {
    await createCgroup(cgroups, `${path}/monitors`);
    const posted = vi.spyOn(Worker.prototype, 'postMessage');
    await port.removeSandboxCgroup(pod, fxOf());
    const orders = posted.mock.calls.map(([request]) => (request as ThreadRequest).order);
    expect(orders).toMatchObject([{ kind: 'cgroup', act: 'remove', path }]);
    expect(await cgroupExists(cgroups, path)).toBe(false);
  });

  test('a process below it is killed first', async () => {
    const pipe = makePipe();
    const child = await spawnProcess({ argv: ['/bin/cat'], env: {}, stdin: pipe.read });
    closeSync(pipe.read);
    const monitors = `${path}/monitors`;
    await createCgroup(cgroups, monitors);
    await moveProcess(cgroups, monitors, child.pid);
    expect(await removedAtOnce(cgroups, path)).toBe(false);
    // the kernel answers EBUSY for a moment after the last process has exited; callers repeat the effect
    await until(() =>
      port.removeSandboxCgroup(pod, fxOf()).then(
        () => true,
        (error: unknown) => {
          if (String(error).includes('EBUSY')) return false;
          throw error;
        },
      ),
    );
    expect(await child.exited).toEqual({ exitCode: null, signal: 9 });
    closeSync(pipe.write);
    expect(await cgroupExists(cgroups, path)).toBe(false);
  });
});
