// The kernel kills the daemon, and nothing else, since its own cgroup has no memory left (F13).
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { detectCgroups } from '../../../src/host/cgroups/cgroup-layout.ts';
import { eventually } from '../../support/eventually.ts';
import { injects } from '../../support/faults/injects.ts';
import { unless } from '../../support/skips/unless.ts';
import { troupeCheck } from '../churn/churn.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, startUntilUp, untilTermed } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';

const killed = injects('F13', 'the OOM killer ends the daemon');

const MIB = 1024 * 1024;
/** More than the daemon uses when it serves. */
const LIMIT_BYTES = 1024 * MIB;
/** What it may use beyond what it does, and what execs then give it to hold. */
const [ROOM_BYTES, EXECS] = [4 * MIB, 40];

const { hierarchies } = await detectCgroups();
const memory = hierarchies.find(({ controllers }) => controllers.includes('memory'));

unless(describePods, memory === undefined ? 'needs the memory controller' : '')(
  'a daemon without memory',
  () => {
    const isFirst = memory?.version === 1;
    const cgroup = join(memory?.mountPoint ?? '', `troupe-oom-${process.pid}`);
    const file = (name: string): string => join(cgroup, name);
    const limitTo = (bytes: number): void =>
      writeFileSync(file(isFirst ? 'memory.limit_in_bytes' : 'memory.max'), String(bytes));
    const used = (): number =>
      Number(readFileSync(file(isFirst ? 'memory.usage_in_bytes' : 'memory.current'), 'utf8'));
    /** Processes that the kernel has killed in it. */
    const kills = (): number =>
      Number(
        /^oom_kill (\d+)$/mu.exec(
          readFileSync(file(isFirst ? 'memory.oom_control' : 'memory.events'), 'utf8'),
        )?.[1] ?? 0,
      );

    let world: World;
    beforeAll(async () => {
      mkdirSync(cgroup);
      limitTo(LIMIT_BYTES);
      const joins = `echo $$ > ${file('cgroup.procs')}; exec "$0" "$@"`;
      world = await makeWorld({ name: 'oom', before: () => ['/bin/sh', '-c', joins] });
    });
    afterAll(async () => {
      await world?.close();
      await eventually('an empty cgroup', () => readFileSync(file('cgroup.procs'), 'utf8') === '');
      if (existsSync(cgroup)) rmdirSync(cgroup);
    });

    test('F13 I8 after the OOM killer ended the daemon containers run on, and the next daemon knows them', async () => {
      const { runtime } = world.client;
      const config = sandboxConfig({ name: 'lives', logDirectory: join(world.logs, 'lives') });
      const { podSandboxId } = await runtime.runPodSandbox({ config });
      const request = containerConfig({ name: 'app', image: await world.pull(), command: untilTermed(3) });
      const { containerId } = await runtime.createContainer({
        podSandboxId,
        sandboxConfig: config,
        config: request,
      });
      await startUntilUp(world.client, containerId);
      const before = kills();
      limitTo(used() + ROOM_BYTES);
      const flood = Array.from({ length: EXECS }, () =>
        runtime
          .execSync({ containerId, cmd: ['sh', '-c', 'head -c 16777216 /dev/zero'], timeout: 60n })
          .catch(() => undefined),
      );
      expect(await world.instance.ended()).toBe(-1);
      await Promise.all(flood);
      killed.happened(kills() - before);
      limitTo(LIMIT_BYTES);
      await world.instance.start();
      const { status } = await runtime.containerStatus({ containerId });
      expect(status).toMatchObject({ state: ContainerState.CONTAINER_RUNNING, exitCode: 0 });
      expect((await runtime.execSync({ containerId, cmd: ['true'], timeout: 60n })).exitCode).toBe(0);
      await runtime.stopContainer({ containerId, timeout: 60n });
      expect((await runtime.containerStatus({ containerId })).status?.exitCode).toBe(3);
      expect(await troupeCheck(world)).toBe('');
      await runtime.removePodSandbox({ podSandboxId });
      expect(await world.leftovers()).toEqual([]);
    });
  },
);
