// Pipes of a container in a user namespace are given to its user by way of its pid, which may be another process's by
// then.
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseContainerId } from '../../../src/base/ids.ts';
import { spawnProcess } from '../../../src/host/process/process.ts';
import type { Child } from '../../../src/host/process/process.ts';
import { chownStdio } from '../../../src/oci/runtime/container/stdio-owner.ts';
import { unless } from '../../support/skips/unless.ts';

const reason = process.getuid?.() === 0 ? '' : 'needs root';
if (reason !== '') console.log(`owners of pipes are not tested: ${reason}`);
const id = parseContainerId('cd'.repeat(32));

unless(describe, reason)('the owner of the pipes', () => {
  let directory = '';
  let config = '';
  let init: Child;
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'stdio-owner-'));
    config = join(directory, 'config.json');
    const map = [{ containerID: 0, hostID: 70_000, size: 65_536 }];
    writeFileSync(
      config,
      JSON.stringify({
        process: { user: { uid: 5, gid: 6 } },
        linux: { uidMappings: map, gidMappings: map },
      }),
    );
    init = await spawnProcess({
      argv: ['/usr/bin/unshare', '--user', '/bin/sleep', '1000'],
      env: {},
      stdout: 'pipe',
    });
    await expect.poll(() => readFileSync(`/proc/${init.pid}/uid_map`, 'latin1')).toBe('');
  });
  afterEach(async () => {
    process.kill(init.pid, 'SIGKILL');
    await init.exited;
    init.stdout?.destroy();
    rmSync(directory, { recursive: true });
  });
  const ownerOf = (): readonly number[] => {
    const { uid, gid } = statSync(`/proc/${init.pid}/fd/1`);
    return [uid, gid];
  };

  it('S97 of a process that has reused the pid of a container’s init is not changed', async () => {
    await chownStdio(
      { ...init.identity, startTicks: init.identity.startTicks - 1 },
      config,
      id ?? expect.unreachable(),
    );
    expect(ownerOf()).toEqual([0, 0]);
  });

  it('S97 is the container’s user where init is the same process', async () => {
    await chownStdio(init.identity, config, id ?? expect.unreachable());
    expect(ownerOf()).toEqual([70_005, 70_006]);
  });
});
