// What RuntimeDefault denies, tried from inside a container of the running daemon, in both of the profile's forms.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeWorld, type World } from '../e2e/support/world.ts';
import { closeWorld, makePod, removePod } from '../integration/daemon/pod.ts';
import { answerFor, callingProgram } from '../support/seccomp/calling-program.ts';
import type { ProgramCall } from '../support/seccomp/calling-program.ts';
import { notRoot, unless } from '../support/skips/unless.ts';

const RUNC = '/usr/sbin/runc';
const missing = existsSync(RUNC) ? notRoot() : `needs ${RUNC}`;
const why = process.arch === 'x64' ? missing : 'only on x64';
if (why !== '' && why !== undefined) console.log(`skipped, RuntimeDefault from inside: ${why}`);
/** CONFIG_IA32_EMULATION; without it int 0x80 ends the program. */
const runsIa32 = existsSync('/proc/sys/abi/vsyscall32');
if (!runsIa32) console.log('skipped, system calls of IA-32 from inside: the kernel has no IA-32 emulation');

const { EPERM, ENOSYS } = constants.errno;
const [CLONE_NEWUSER, AF_ALG, AF_VSOCK, ADDR_NO_RANDOMIZE] = [0x10000000n, 38n, 40n, 0x40000n];

/** `errno` is that of the answer; by default EPERM. */
type Named = readonly [what: string, x64: number, ia32: number, args?: readonly bigint[], errno?: number];

const DENIED: readonly Named[] = [
  ['add_key', 248, 286],
  ['request_key', 249, 287],
  ['keyctl', 250, 288],
  ['bpf', 321, 357],
  ['userfaultfd', 323, 374, [~0n]],
  ['mount', 165, 21],
  ['umount2', 166, 52],
  ['pivot_root', 155, 217],
  ['open_tree', 428, 428],
  ['fsopen', 430, 430],
  ['setns', 308, 346],
  ['unshare of a user namespace', 272, 310, [CLONE_NEWUSER]],
  ['clone3', 435, 435, [], ENOSYS],
  ['io_uring_setup', 425, 425],
  ['socket of AF_ALG', 41, 359, [AF_ALG, 2n]],
  ['socket of AF_VSOCK', 41, 359, [AF_VSOCK, 1n]],
  ['personality without random addresses', 135, 136, [ADDR_NO_RANDOMIZE]],
  ['personality of other systems', 135, 136, [0xffff0000n]],
  ['personality of 64 bits', 135, 136, [0x1_0000_0000n]],
  ['kexec_load', 246, 283],
];
const ALLOWED: readonly Named[] = [
  ['personality as it is', 135, 136, [0n]],
  ['socket of AF_UNIX', 41, 359, [1n, 1n]],
];

interface Tried extends ProgramCall {
  readonly what: string;
  /** Undefined: whatever the kernel says to an allowed call. */
  readonly expected: string | undefined;
}

const tried: readonly Tried[] = [false, ...(runsIa32 ? [true] : [])].flatMap((ia32) => [
  ...DENIED.filter(([what]) => !ia32 || !what.endsWith('64 bits')).map(
    ([what, x64, i386, args = [], errno = EPERM]) => ({
      what: `${ia32 ? 'IA-32' : 'x86-64'}: ${what}`,
      number: ia32 ? i386 : x64,
      args,
      ia32,
      expected: answerFor(errno),
    }),
  ),
  ...ALLOWED.map(([what, x64, i386, args = []]) => ({
    what: `${ia32 ? 'IA-32' : 'x86-64'}: ${what}`,
    number: ia32 ? i386 : x64,
    args,
    ia32,
    expected: undefined,
  })),
]);

unless(describe, why)('S35 S73: RuntimeDefault from inside a container', () => {
  let world: World;
  let directory: string;
  let mounts: { readonly containerPath: string; readonly hostPath: string; readonly readonly: boolean }[];
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-calls-'));
    mounts = [{ containerPath: '/calls', hostPath: directory, readonly: true }];
    writeFileSync(join(directory, 'calls'), callingProgram(tried), { mode: 0o755 });
    world = await makeWorld({
      name: 'shse',
      network: 'host-only',
      config: `[runtime.handlers.list]\npath = "${RUNC}"\nshort_seccomp = false\n`,
    });
  });
  afterAll(async () => {
    rmSync(directory, { recursive: true });
    expect(await closeWorld(world)).toEqual([]);
  });

  async function run(containerId: string, ...cmd: readonly string[]): Promise<string> {
    const { stdout } = await world.client.runtime.execSync({ containerId, cmd: [...cmd], timeout: 60n });
    return Buffer.from(stdout).toString();
  }

  /** How many filters a process has: two in the short form. */
  const filters = async (containerId: string): Promise<string> =>
    /^Seccomp_filters:\s*(\d+)$/mu.exec(await run(containerId, 'cat', '/proc/self/status'))?.[1] ?? '';

  /** The answers to the container's own program, from its log. */
  async function asInit(name: string, runtimeHandler: string): Promise<string> {
    const pod = await makePod(world, name, {
      runtimeHandler,
      command: ['/calls/calls'],
      mounts,
      isConfined: true,
    });
    await world.client.runtime.startContainer({ containerId: pod.containerId });
    let said = '';
    await expect
      .poll(async () => {
        const { status } = await world.client.runtime.containerStatus({ containerId: pod.containerId });
        said = existsSync(status?.logPath ?? '') ? readFileSync(status?.logPath ?? '', 'utf8') : '';
        return said.length > 0 && (status?.finishedAt ?? 0n) > 0n;
      })
      .toBe(true);
    await removePod(world, pod.sandboxId);
    // conmon has a line for each piece that it reads
    return said.replaceAll(/^\S+ stdout [FP] /gmu, '').replaceAll('\n', '');
  }

  function expectDenied(answers: string): void {
    expect(answers).toHaveLength(tried.length);
    const wrong = tried.flatMap(({ what, expected }, at) =>
      expected === undefined || answers[at] === expected ? [] : [`${what}: ${answers[at]}, not ${expected}`],
    );
    expect(wrong).toEqual([]);
  }

  it('each denied call has the errno of the allow-list, as init, by exec and after a restart of the daemon', async () => {
    const request = { mounts, isConfined: true } as const;
    const [short, list, late] = [
      await makePod(world, 'short', request),
      await makePod(world, 'list', { ...request, runtimeHandler: 'list' }),
      await makePod(world, 'late', request),
    ];
    for (const { containerId } of [short, list]) await world.client.runtime.startContainer({ containerId });
    expect([await filters(short.containerId), await filters(list.containerId)]).toEqual(['2', '1']);
    const answers = await run(list.containerId, '/calls/calls');
    expectDenied(answers);
    expect(await run(short.containerId, '/calls/calls')).toBe(answers);
    expect(await asInit('short-init', '')).toBe(answers);
    expect(await asInit('list-init', 'list')).toBe(answers);
    await world.instance.kill();
    await world.instance.start();
    // created by the earlier instance, started by this one
    await world.client.runtime.startContainer({ containerId: late.containerId });
    for (const { containerId } of [short, late]) {
      expect(await filters(containerId)).toBe('2');
      expect(await run(containerId, '/calls/calls')).toBe(answers);
    }
    for (const { sandboxId } of [short, list, late]) await removePod(world, sandboxId);
  });
});
