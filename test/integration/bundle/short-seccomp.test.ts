// RuntimeDefault in both of its forms, as the kernel has them: the filters of two containers, made by the real runc,
// are read back and interpreted for every system call.
import { execFileSync } from 'node:child_process';
import { openSync, closeSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { filteringLauncher } from '../../../src/oci/runtime/handlers/filtering.ts';
import { driverLimits } from '../../../src/oci/runtime/bounds.ts';
import { probeSpecHost } from '../../../src/oci/runtime/bundle/host/bundle-host.ts';
import type { OciSpec } from '../../../src/oci/runtime/spec/types.ts';
import { answerOf, canReadFilters, filtersOf } from '../../support/seccomp/filters.ts';
import type { Filter } from '../../support/seccomp/filters.ts';
import { until } from '../../support/eventually.ts';
import { unless } from '../../support/skips/unless.ts';
import { runc14, runcNewest } from '../../support/tools/go-tools.ts';
import { CONTAINER_ID } from '../../unit/oci/runtime/spec/fixtures.ts';
import { bundleInput, fx, makeMachine, readConfig, whyNot } from './machine.ts';
import type { Machine } from './machine.ts';

/** Why both forms can't be compared here; undefined when they can. */
async function whyNotHere(): Promise<string | undefined> {
  if (process.arch !== 'x64') return 'only on x64';
  const { refusedPrograms } = await probeSpecHost();
  if (!refusedPrograms.includes('x32'))
    return 'the kernel runs x32 programs, for which there is no short form';
  return canReadFilters() ? undefined : 'the kernel hands out no seccomp filters: CONFIG_CHECKPOINT_RESTORE';
}

const reason = whyNot() ?? (await whyNotHere());
if (reason !== undefined) process.stdout.write(`skipped, short form of seccomp profiles: ${reason}\n`);

const DEBIAN = '/usr/sbin/runc';
/** AUDIT_ARCH_*. */
const ARCH = { x64: 0xc000003e, ia32: 0x40000003, arm: 0x40000028 } as const;
type Arch = keyof typeof ARCH;
const X32 = 0x40000000;

/** asm/unistd_64.h and unistd_32.h. */
const NUMBERS = {
  socket: { x64: 41, ia32: 359 },
  clone: { x64: 56, ia32: 120 },
  personality: { x64: 135, ia32: 136 },
  socketcall: { x64: -1, ia32: 102 },
  ipc: { x64: -1, ia32: 117 },
} as const;

const bits = Array.from({ length: 64 }, (_, at) => 1n << BigInt(at));
const small = Array.from({ length: 100 }, (_, at) => BigInt(at));
const PERSONALITIES = [0n, 0x8n, 0x20000n, 0x20008n, 0xffffffffn];

/** Values of the first argument: bits, pairs of them, borders, and what differs from a value in one bit or two. */
const FIRST_ARGUMENTS: ReadonlySet<bigint> = new Set(
  [
    ...small,
    ...bits,
    ...bits.flatMap((one) => bits.map((other) => one | other)),
    ...small.map((value) => value | (1n << 32n)),
    ...[...PERSONALITIES, 0x7e020000n, ~0x7e020000n, ~0n].flatMap((value) => [
      value,
      ...bits.map((bit) => value ^ bit),
      ...bits.flatMap((one) => bits.slice(0, 32).map((other) => value ^ one ^ other)),
    ]),
  ].map((value) => BigInt.asUintN(64, value)),
);

interface Call {
  readonly arch: Arch;
  readonly number: number;
  readonly args: readonly bigint[];
}

function* calls(): Generator<Call> {
  for (const arch of ['x64', 'ia32', 'arm'] as const)
    for (let number = 0; number < 1024; number += 1) {
      yield { arch, number, args: [] };
      yield { arch, number: X32 + number, args: [] };
    }
  for (const of of Object.values(NUMBERS))
    for (const arch of ['x64', 'ia32'] as const)
      for (const value of of[arch] < 0 ? [] : FIRST_ARGUMENTS)
        // registers of IA-32 programs have 32 bits
        if (arch === 'x64' || value >> 32n === 0n) yield { arch, number: of[arch], args: [value] };
}

/** Numbers of calls that the list allows, and that a libseccomp may not know: today's list then refuses them. */
const ALLOWED_NEWER = [335, 451, 452, 453, 454, 455, 456, 462, 463, 464, 465, 466];

/** Differences that are meant; everything else must be the same. */
function isMeant({ arch, number, args }: Call, list: string, short: string): boolean {
  // libseccomp allows the twenty calls that socketcall(2) has; to others the kernel answers EINVAL
  if (arch === 'ia32' && number === NUMBERS.socketcall.ia32) {
    const [which = 0n] = args;
    return (which < 1n || which > 20n) && list === 'EPERM' && short === 'ALLOW';
  }
  // the outer filter knows names of the list that libseccomp does not
  if (ALLOWED_NEWER.includes(number) && short === 'ALLOW' && list !== 'ALLOW')
    return arch !== 'ia32' || number > 450;
  // runc answers ENOSYS from the last number that it has a rule for; which it has depends on its libseccomp
  return arch !== 'arm' && number >= 450 && [list, short].every((one) => ['EPERM', 'ENOSYS'].includes(one));
}

unless(describe, reason)('S73: the short form of RuntimeDefault', () => {
  const machines: Machine[] = [];
  beforeEach(async () => {
    for (const shortSeccomp of [false, true]) machines.push(await makeMachine({ shortSeccomp }));
  });
  afterEach(() => {
    for (const machine of machines.splice(0)) machine.remove();
  });

  /** The filters of a container that runs, and those of an exec in it. */
  async function filtersIn(
    machine: Machine,
    runc: string,
    changes: Parameters<typeof bundleInput>[1],
  ): Promise<Readonly<Record<'init' | 'exec', readonly Filter[]>>> {
    const command = ['/bin/sleep', '1000'];
    await machine.writer.writeBundle(bundleInput(machine, { ...changes, spec: { command } }), fx);
    const isShort = JSON.stringify(readConfig(machine)).includes('"troupeShortSeccomp":1');
    const program = isShort ? await filteringLauncher(machine.layout.standInsDir, runc) : runc;
    const root = ['--root', machine.layout.runtimeRoot('runc')];
    const nothing = openSync('/dev/null', 'r+');
    const stdio = { stdio: [nothing, nothing, nothing] };
    const pidOf = async (name: string, args: readonly string[]): Promise<number> => {
      const pidFile = join(machine.dir, name);
      execFileSync(
        program,
        [...root, ...args, '--pid-file', pidFile, CONTAINER_ID, ...(name === 'exec' ? command : [])],
        stdio,
      );
      if (name === 'init') execFileSync(runc, [...root, 'start', CONTAINER_ID], stdio);
      const pid = Number(readFileSync(pidFile, 'utf8'));
      await until(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('/bin/sleep'));
      return pid;
    };
    try {
      const init = await pidOf('init', ['create', '--bundle', machine.layout.bundleDir(CONTAINER_ID)]);
      const exec = await pidOf('exec', ['exec', '--detach']);
      return { init: filtersOf(init) ?? [], exec: filtersOf(exec) ?? [] };
    } finally {
      execFileSync(runc, [...root, 'delete', '--force', CONTAINER_ID], stdio);
      closeSync(nothing);
    }
  }

  const capabilities = (add: readonly string[], drop: readonly string[]) => ({
    security: { capabilities: { add, drop, addAmbient: [] } },
  });
  const programs = { debian: () => Promise.resolve(DEBIAN), '1.4': runc14, newest: runcNewest } as const;

  test.each<[keyof typeof programs, string, Parameters<typeof bundleInput>[1]]>([
    ['debian', 'the default capabilities', {}],
    ['1.4', 'the default capabilities', {}],
    ['newest', 'the default capabilities', {}],
    ['1.4', 'no capabilities', capabilities([], ['ALL'])],
    ['1.4', 'all but CAP_SYS_ADMIN', capabilities(['ALL'], ['SYS_ADMIN'])],
    ['1.4', 'two capabilities alone', capabilities(['SYS_CHROOT', 'SYS_PTRACE'], ['ALL'])],
    ['1.4', 'CAP_SYS_NICE as well', capabilities(['SYS_NICE'], [])],
  ])('every call has the answer of the allow-list: runc %s, %s', async (name, _what, changes) => {
    const runc = await programs[name]();
    const [list, short] = await Promise.all(machines.map((machine) => filtersIn(machine, runc, changes)));
    if (list === undefined || short === undefined) throw new Error('two machines');
    expect([list, short].map(({ init, exec }) => [init.length, exec.length])).toEqual([
      [1, 1],
      [2, 2],
    ]);
    expect(short.exec).toEqual(short.init);
    const different = [...calls()].flatMap((call) => {
      const data = { ...call, arch: ARCH[call.arch] };
      const [before, now] = [answerOf(list.init, data), answerOf(short.init, data)];
      if (before === now || isMeant(call, before, now)) return [];
      return [`${call.arch} ${call.number} ${call.args.join(' ')}: ${before}, in the short form ${now}`];
    });
    expect(different).toEqual([]);
  });

  test('a document that is too large to be read again keeps the allow-list', async () => {
    const [, machine] = machines;
    if (machine === undefined) throw new Error('two machines');
    // JSON has six bytes for each
    const value = '\u0001'.repeat(100_000);
    const env = Array.from({ length: 15 }, (_, at) => ({ name: `V${at}`, value }));
    await machine.writer.writeBundle(bundleInput(machine, { spec: { env } }), fx);
    const config = readConfig(machine) as OciSpec;
    expect(JSON.stringify(config).length).toBeGreaterThan(driverLimits.stateFileBytes);
    expect(config).not.toHaveProperty('troupeShortSeccomp');
    expect(config.linux.seccomp?.defaultAction).toBe('SCMP_ACT_ERRNO');
  });

  test('a capability that allows calls unknown to libseccomp keeps the allow-list', async () => {
    const [, machine] = machines;
    if (machine === undefined) throw new Error('two machines');
    const { init } = await filtersIn(machine, await runc14(), capabilities(['SYS_ADMIN'], []));
    expect(init).toHaveLength(1);
    expect(readConfig(machine)).not.toHaveProperty('troupeShortSeccomp');
  });
});
