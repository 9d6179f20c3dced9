// F79: the daemon does not run for a while, as on a machine that is suspended, while its containers do. Nothing that
// was done in time is judged by a bound that ran out meanwhile.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { clockLimits } from '../../../src/host/bounds.ts';
import { ContainerState, MountSchema } from '../../../src/gen/runtime/v1/api_pb.ts';
import { create } from '@bufbuild/protobuf';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, startUntilUp } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';
import { until } from '../../support/eventually.ts';
import { stoodStill } from '../../support/skips/stood-still.ts';
import { injects } from '../../support/faults/injects.ts';

const stalledLoop = injects('F15', 'the event loop stands still while calls run');
const stopped = injects('F79', 'SIGSTOP of the daemon for longer than its bounds');

const EXECS = 3;
/** Their start counts in it: on a loaded machine that alone takes a second. */
const EXEC_TIMEOUT_S = 3;
/** ms: every bound of the execs is over by more than what makes a stall. */
const STOPPED_MS = EXEC_TIMEOUT_S * 1000 + clockLimits.stallMs + 500;

describePods('a daemon that is stopped for a while', () => {
  let world: World;
  beforeAll(async () => {
    world = await makeWorld({ name: 'stall', network: 'host-only' });
  });
  afterAll(async () => await world.close());

  test('F79 F15: after a stall of the daemon ended containers have their exit codes, running ones go on, and the stall is in the log', async (context) => {
    const {
      instance,
      logs,
      client: { runtime },
    } = world;
    const image = await world.pull();
    const pod = sandboxConfig({ name: 'pod', logDirectory: join(logs, 'pod'), hostNetwork: true });
    const { podSandboxId } = await runtime.runPodSandbox({ config: pod });
    const command = ['sh', '-c', 'trap "sleep 0.3; exit 5" TERM; echo up; while :; do sleep 0.1; done'];
    const run = async (name: string): Promise<string> => {
      const config = containerConfig({ name, image, command, hostNetwork: true });
      config.mounts = [create(MountSchema, { containerPath: '/shared', hostPath: logs })];
      const { containerId } = await runtime.createContainer({ podSandboxId, config, sandboxConfig: pod });
      await startUntilUp(world.client, containerId);
      return containerId;
    };
    const [lasting, ending] = [await run('lasting'), await run('ending')];
    const sinceMs = performance.now();
    // shorter than their bound, so that only a daemon that does not poll can miss their end
    const execs = Array.from({ length: EXECS }, (_none, n) =>
      runtime.execSync({
        containerId: lasting,
        cmd: ['sh', '-c', `echo begun > /shared/${n}; sleep 0.3; echo done ${n}`],
        timeout: BigInt(EXEC_TIMEOUT_S),
      }),
    );
    let isOver = false;
    const settled = Promise.allSettled(execs).finally(() => (isOver = true));
    await until(() => isOver || execs.every((_exec, n) => existsSync(join(logs, String(n)))));
    const stopping = runtime.stopContainer({ containerId: ending, timeout: 1n });

    process.kill(instance.pid(), 'SIGSTOP');
    const tookMs = Math.round(performance.now() - sinceMs);
    await delay(STOPPED_MS);
    process.kill(instance.pid(), 'SIGCONT');

    const isCut = (await settled).some(({ status }) => status === 'rejected');
    if (isCut && tookMs >= EXEC_TIMEOUT_S * 1000)
      stoodStill(context, `the execs had had ${tookMs} ms before the stop`);
    const answers = await Promise.all(execs);
    expect(answers.map(({ exitCode, stdout }) => `${exitCode} ${Buffer.from(stdout).toString()}`)).toEqual(
      answers.map((_none, n) => `0 done ${n}\n`),
    );
    await stopping;
    expect((await runtime.containerStatus({ containerId: lasting })).status?.state).toBe(
      ContainerState.CONTAINER_RUNNING,
    );
    await until(async () => (await instance.log()).includes('the event loop stood still'));
    stalledLoop.happened();
    stopped.happened();
    await runtime.removePodSandbox({ podSandboxId });
    expect(await world.leftovers()).toEqual([]);
  });
});
