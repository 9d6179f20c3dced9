// The daemon is stopped while another one is to take over: none serves afterwards, and the next start finds the lock
// free (F92).
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { defaultConfig } from '../../../src/daemon/config/config-schema.ts';
import { TAKE_OVER_PROTOCOL } from '../../../src/daemon/takeover/messages.ts';
import { instanceOf } from '../../../src/daemon/wiring/instance-of.ts';
import { processExists, processIdentity } from '../../../src/host/process/process-identity.ts';
import type { HostIdentity } from '../../../src/host/process/process-identity.ts';
import { FakeSystemd } from '../../support/fake-systemd.ts';
import { injects } from '../../support/faults/injects.ts';
import { makeInstance, type Instance } from '../../support/instance.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { run } from '../../support/run.ts';
import { describePods } from '../support/crictl.ts';

const stopped = injects('F92', 'SIGTERM of the former daemon while another one takes over');

let systemd: FakeSystemd | undefined;
let instance: Instance;

async function begin(isUnderSystemd: boolean): Promise<void> {
  systemd = isUnderSystemd ? new FakeSystemd({ watchdogMs: 2000 }) : undefined;
  instance = await makeInstance({ name: 'tkst', network: 'none', ...(systemd && { systemd }) });
  await instance.start();
}

/** The process whose pid is in the file. */
async function identityIn(file: string): Promise<HostIdentity> {
  const pid = (): number => (existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0);
  await expect.poll(pid, { timeout: EVENT_MS }).toBeGreaterThan(0);
  return processIdentity(pid()) ?? expect.unreachable('it has ended');
}

describePods('a stop while another daemon takes over', () => {
  beforeEach(() => {
    systemd = undefined;
  });

  afterEach(async () => {
    await instance.remove();
    systemd?.close();
  });

  test.for([
    ['under systemd', true],
    ['by hand', false],
  ] as const)('F92 the program that has not asked yet ends with it, %s', async ([_how, isUnderSystemd]) => {
    await begin(isUnderSystemd);
    const [started, program] = [join(instance.directory, 'started'), join(instance.directory, 'slow')];
    writeFileSync(program, `#!/bin/sh\necho $$ > ${started}\nexec sleep 3600\n`, { mode: 0o755 });
    const [launcher, , ...options] = instance.argv;
    const asked = run([launcher, 'upgrade', '--program', program, ...options]);
    const next = await identityIn(started);
    expect(await instance.terminate()).toBe(0);
    expect(processExists(next)).toBe(false);
    expect(await asked).not.toMatchObject({ code: 0 });
    stopped.happened();
    // throws unless it answers
    await instance.start();
  });

  test('F92 the daemon that has got the node, and does not serve yet, ends with it', async () => {
    await begin(false);
    const { root, state, socket } = instance;
    const facts = await instanceOf({ ...defaultConfig, root, state, socket });
    const hello = { type: 'hello', protocol: TAKE_OVER_PROTOCOL, isRescue: false, ...facts };
    const file = join(import.meta.dirname, 'half-taker.ts');
    const path = join(state, 'take-over.sock');
    const next = spawn(process.execPath, [file, path, JSON.stringify(hello)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(next, 'exit');
    expect(String(await once(next.stdout, 'data'))).toBe('released\n');
    expect(await instance.terminate()).toBe(0);
    expect(await ended).toEqual([null, 'SIGTERM']);
    stopped.happened();
    expect(await instance.log()).not.toContain('started a successor');
    // throws unless it answers
    await instance.start();
  });
});
