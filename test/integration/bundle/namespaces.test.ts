/** A pod with its own namespaces: pins and a pause process are joined for real. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bootId } from '../../../src/host/files/boot-id.ts';
import { processIdentity } from '../../../src/host/process/process-identity.ts';
import { SANDBOX_ID } from '../../unit/oci/runtime/spec/fixtures.ts';
import { bundleInput, fx, makeMachine, whyNot } from './machine.ts';
import type { Machine } from './machine.ts';
import { unless } from '../../support/skips/unless.ts';

const reason = whyNot();
if (reason !== undefined) process.stdout.write(`skipped, namespaces of bundles: ${reason}\n`);

const KINDS = ['net', 'ipc', 'uts'] as const;

unless(describe, reason)('a pod with its own network, IPC, UTS and PID namespaces', () => {
  let machine: Machine;
  const pin = (kind: (typeof KINDS)[number]): string => machine.layout.pin(SANDBOX_ID, kind);

  beforeEach(async () => {
    machine = await makeMachine();
    mkdirSync(machine.layout.pinDir(SANDBOX_ID), { recursive: true });
    // a mount point of its own that is private, as unshare wants it for persistent namespaces
    spawnSync('mount', ['--bind', machine.layout.pinDir(SANDBOX_ID), machine.layout.pinDir(SANDBOX_ID)]);
    spawnSync('mount', ['--make-private', machine.layout.pinDir(SANDBOX_ID)]);
    for (const kind of KINDS) writeFileSync(pin(kind), '');
    const made = spawnSync(
      'unshare',
      [...KINDS.map((kind) => `--${kind}=${pin(kind)}`), 'hostname', 'web-0'],
      { encoding: 'utf8' },
    );
    expect(made.stderr).toBe('');
  });
  afterEach(() => {
    spawnSync('runc', ['--root', machine.layout.runtimeRoot('runc'), 'delete', '--force', SANDBOX_ID]);
    for (const kind of KINDS) spawnSync('umount', [pin(kind)]);
    spawnSync('umount', [machine.layout.pinDir(SANDBOX_ID)]);
    machine.remove();
  });

  test('the container joins the pinned namespaces, sees the pause process as PID 1 and shares /dev/shm with the pod', async () => {
    const { layout } = machine;
    const namespaces = { network: 'pod', ipc: 'pod', pid: 'pod', targetId: undefined } as const;
    const links = KINDS.map((kind) => `/bin/busybox readlink /proc/self/ns/${kind}`).join('; ');
    const script = `${links}; cat /proc/1/comm; cat /proc/sys/kernel/hostname; echo > /dev/shm/seen`;
    const input = bundleInput(machine, {
      spec: { command: ['/bin/sh', '-c', script], logPath: '' },
      sandbox: { namespaces, cgroupParent: machine.cgroupParent },
      security: { namespaces },
    });

    await machine.writer.writePauseBundle({ id: SANDBOX_ID, sandbox: input.sandbox }, fx);
    const argv = [
      '--root',
      layout.runtimeRoot('runc'),
      'run',
      '--detach',
      '--bundle',
      layout.pauseBundleDir(SANDBOX_ID),
    ];
    const ran = spawnSync('runc', [...argv, '--pid-file', layout.pausePidFile(SANDBOX_ID), SANDBOX_ID], {
      stdio: 'ignore',
    });
    expect(ran.status).toBe(0);
    const pause = processIdentity(Number(readFileSync(layout.pausePidFile(SANDBOX_ID), 'utf8')));
    if (pause === undefined) throw new Error('no pause process');
    expect(readlinkSync(`/proc/${pause.pid}/ns/net`)).toBe(`net:[${statSync(pin('net')).ino}]`);

    const identity = { pid: pause.pid, startTicks: BigInt(pause.startTicks), bootId: bootId() };
    await machine.writer.writeBundle({ ...input, pidNamespaceOf: identity }, fx);
    const output = await machine.run();
    expect(output.trim().split('\n')).toEqual([
      ...KINDS.map((kind) => `${kind}:[${statSync(pin(kind)).ino}]`),
      'pause',
      'web-0',
    ]);
    expect(statSync(join(layout.sandboxFiles(SANDBOX_ID).shm, 'seen')).size).toBe(1);
  });
});
