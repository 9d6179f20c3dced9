// What a container writes to our files in it, on the running daemon: it meets a bound, and what it has written is its
// own memory.
import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hostLimits } from '../../src/host/bounds.ts';
import { makeWorld, type World } from '../e2e/support/world.ts';
import { closeWorld, makePod, removePod } from '../integration/daemon/pod.ts';
import { EVENT_MS } from '../support/patience.ts';
import { notRoot, unless } from '../support/skips/unless.ts';

const CRUN = '/usr/bin/crun';
const isRoot = process.getuid?.() === 0;
if (!isRoot) console.log('skipped: files of pods need root');
if (!existsSync(CRUN)) console.log(`skipped: files of pods with crun: ${CRUN} is not installed`);
const handlers = ['', ...(existsSync(CRUN) ? ['crun'] : [])];

unless(describe, notRoot())('our files in a container', () => {
  let world: World;
  beforeAll(async () => {
    world = await makeWorld({
      name: 'pfls',
      network: 'host-only',
      stateInMemory: true,
      handlers: existsSync(CRUN) ? { crun: CRUN } : {},
    });
  });
  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
  });

  async function run(containerId: string, script: string): Promise<string> {
    const { stdout, exitCode, stderr } = await world.client.runtime.execSync({
      containerId,
      cmd: ['sh', '-c', script],
      timeout: 60n,
    });
    expect(exitCode, Buffer.from(stderr).toString()).toBe(0);
    return Buffer.from(stdout).toString();
  }

  it.each(handlers)(
    'S87 resolv.conf and hosts can be written up to a bound; the host\'s state directory does not grow (handler "%s")',
    async (runtimeHandler) => {
      const { sandboxId, containerId } = await makePod(world, `grow${runtimeHandler}`, { runtimeHandler });
      await world.client.runtime.startContainer({ containerId });
      const used = (): number => {
        const { blocks, bfree, bsize } = statfsSync(world.instance.state);
        return (blocks - bfree) * bsize;
      };
      const before = used();
      const much = 'dd if=/dev/zero bs=1M count=16 2>/dev/null';
      const said = await run(
        containerId,
        `echo nameserver 10.9.9.9 > /etc/resolv.conf; cat /etc/resolv.conf; for f in resolv.conf hosts; do ${much} >> /etc/$f && echo no bound; done; echo x > /etc/hostname || echo refused`,
      );
      expect(said).toBe('nameserver 10.9.9.9\nrefused\n');
      const etc = statfsSync(join(world.instance.state, 'sandboxes', sandboxId, 'etc'));
      expect(etc.bfree).toBe(0);
      expect(etc.blocks * etc.bsize).toBeLessThan(hostLimits.sandboxFilesRoomBytes * 2);
      // an exec's own files come and go there
      expect(used() - before).toBeLessThan(1024 * 1024);
      await removePod(world, sandboxId);
    },
  );

  it('S87 writes to them are charged to the container’s cgroup', async () => {
    const { sandboxId, containerId } = await makePod(world, 'charged');
    await world.client.runtime.startContainer({ containerId });
    const shmem =
      '$(cat /sys/fs/cgroup/memory.stat /sys/fs/cgroup/memory/memory.stat 2>/dev/null | awk \'$1 == "shmem" { print $2 }\')';
    // the kernel adds its counters up every two seconds at the latest
    const wait = `n=0; until [ ${shmem} -ge $((before + 200000)) ]; do n=$((n+1)); [ $n -lt ${EVENT_MS / 100} ] || exit 1; sleep 0.1; done`;
    await run(
      containerId,
      `before=${shmem}; dd if=/dev/zero bs=1k count=220 >> /etc/hosts 2>/dev/null; ${wait}`,
    );
    await removePod(world, sandboxId);
  });

  it('S87 what a container has written there outlives kill -9 of the daemon', async () => {
    const { sandboxId, containerId } = await makePod(world, 'kept');
    await world.client.runtime.startContainer({ containerId });
    await run(containerId, 'echo nameserver 10.8.8.8 > /etc/resolv.conf');
    await world.instance.kill();
    await world.instance.start();
    expect(await run(containerId, 'cat /etc/resolv.conf')).toBe('nameserver 10.8.8.8\n');
    expect(readFileSync(join(world.instance.state, 'sandboxes', sandboxId, 'resolv.conf'), 'utf8')).toBe(
      'nameserver 10.8.8.8\n',
    );
    await removePod(world, sandboxId);
  });
});
