// One run of a guest: disks in and out, its console, and a bound on all of it.
import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { runOrThrow } from '../support/run.ts';
import type { HostParts } from './parts.ts';
import { rootPartition } from './parts.ts';

const MEMORY_MIB = 3072;
const RESULTS_BYTES = 64 * 1024 * 1024;

export interface GuestRun {
  readonly parts: HostParts;
  readonly rootDisk: string;
  readonly modulesDisk: string;
  readonly checkoutTar: string;
  /** A directory for this run: the results' disk and the console's log. */
  readonly directory: string;
  /** ms until it is killed. */
  readonly timeoutMs: number;
  /** Names of the parts to run, with commas; all when left out. */
  readonly only?: string | undefined;
  /** What the job prints, as it prints it. */
  readonly onOutput: (text: string) => void;
}

/** Where the kernel and systemd write. */
export const consoleLog = (directory: string): string => join(directory, 'console.log');
/** A tar that the guest writes. */
export const resultsDisk = (directory: string): string => join(directory, 'results.img');

/** A disk that the guest finds by its serial number. */
const disk = (serial: string, file: string, more: string): string[] => [
  '-drive',
  `file=${file},if=none,id=${serial},format=raw,${more}`,
  '-device',
  `nvme,drive=${serial},serial=${serial}`,
];

/**
 * QEMU's arguments. TCG on purpose: a nested KVM may refuse a distribution's kernel, and no test measures time in here.
 * la57=off: without it `max` has five-level paging, which TCG walks slowly.
 */
export function qemuArguments(run: GuestRun): string[] {
  const { parts, directory } = run;
  return [
    '-no-user-config',
    '-nodefaults',
    '-display',
    'none',
    '-machine',
    'q35',
    '-accel',
    'tcg,thread=multi',
    '-cpu',
    'max,la57=off',
    // one CPU: on a busy machine a second one's timers are found at fault while it boots, and its tasks hang
    '-smp',
    '1',
    '-m',
    String(MEMORY_MIB),
    '-kernel',
    parts.kernel,
    '-append',
    `root=${rootPartition} rootwait rw console=ttyS0 quiet panic=-1 no_timer_check apparmor=1 security=apparmor systemd.show_status=error${run.only === undefined ? '' : ` troupe.only=${run.only}`}`,
    ...disk('root', run.rootDisk, 'snapshot=on'),
    // vite writes a file into it
    ...disk('modules', run.modulesDisk, 'snapshot=on'),
    ...disk('checkout', run.checkoutTar, 'readonly=on'),
    ...disk('results', resultsDisk(directory), 'cache=unsafe'),
    '-serial',
    `file:${consoleLog(directory)}`,
    '-serial',
    'stdio',
  ];
}

/** Runs it to its power-off. Throws when it had to be killed, with the end of its console. */
export async function runGuest(run: GuestRun): Promise<void> {
  const results = await open(resultsDisk(run.directory), 'w');
  await results.truncate(RESULTS_BYTES);
  await results.close();
  const argv = ['nice', '-n', '15', ...run.parts.qemu, ...qemuArguments(run)];
  const [program = '', ...args] = argv;
  // what it writes for snapshot=on goes with it
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...run.parts.env, PATH: process.env['PATH'], TMPDIR: run.directory },
  });
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  let complaint = '';
  let isLate = false;
  child.stdout.setEncoding('utf8').on('data', run.onOutput);
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-4096);
  });
  const timer = setTimeout(() => {
    isLate = true;
    kill();
  }, run.timeoutMs);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  clearTimeout(timer);
  process.off('exit', kill);
  if (!isLate && code === 0) return;
  const log = (await runOrThrow(['tail', '--lines=40', consoleLog(run.directory)])).trim();
  const how = isLate
    ? `did not power off within ${run.timeoutMs / 1000} s`
    : `ended with ${code}: ${complaint}`;
  throw new Error(`the guest ${how}; the end of its console:\n${log}`);
}
