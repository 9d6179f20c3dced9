// One part in a guest of its own, to what it came to: also where the guest hangs, dies or leaves nothing.
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runOrThrow } from '../support/run.ts';
import type { KeptPart, Tree } from './kept.ts';
import { consoleLog, type Machine, resultsDisk, runGuest } from './guest-run.ts';
import type { Part } from './guest/parts.ts';
import { JOB_IS_OVER, type PartReport, summed } from './report.ts';
import type { World } from './world.ts';

/** Of one part, times the machine's patience: against a hang. Above the longest limit in the guest, critest's. */
const GUEST_TIMEOUT_MS = 35 * 60_000;
/** From the job's end to the power-off; a quiet guest needs seconds. Its results are on their disk by then. */
const POWER_OFF_MS = 5 * 60_000;
const MEMORY_MIB = 4096;
/** Of the console, where a guest left no report. */
const CONSOLE_LINES = 15;
/** For the kernel. Denials are read from its log, so none may be dropped from it. */
const LSM_WORDS = {
  apparmor: ['apparmor=1', 'security=apparmor'],
  selinux: [
    'lsm=landlock,yama,selinux',
    'selinux=1',
    'enforcing=1',
    'audit=1',
    'audit_backlog_limit=8192',
    'log_buf_len=8M',
    'sysctl.kernel.printk_ratelimit=0',
  ],
} as const;

export interface Guests {
  readonly world: World;
  readonly machine: Machine;
  readonly root: string;
  readonly modules: string;
  readonly tree: Tree;
  readonly checkoutTar: string;
  readonly directory: string;
  /** Leaves the disks of each part. */
  readonly isKeeping: boolean;
}

/** What the boots of a part left on the results' disk; nothing when it can't be read. */
async function reportsOf(directory: string): Promise<PartReport[]> {
  const target = join(directory, 'results');
  await mkdir(target);
  try {
    await runOrThrow(['tar', '--extract', '--file', resultsDisk(directory), '-C', target]);
  } catch {
    return [];
  }
  const reports = (await readdir(target)).filter((name) => name.endsWith('.json')).sort();
  return await Promise.all(
    reports.map(async (name) => JSON.parse(await readFile(join(target, name), 'utf8')) as PartReport),
  );
}

const lastLines = async (file: string): Promise<string> =>
  existsSync(file) ? (await runOrThrow(['tail', `--lines=${CONSOLE_LINES}`, file])).trim() : '';

/** Runs the guest; answers why it did not end by itself, if so. */
async function playPart(guests: Guests, part: Part, directory: string): Promise<string | undefined> {
  const { machine, world, tree } = guests;
  let rest = '';
  const cut = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  try {
    await runGuest(machine, {
      disks: [
        { serial: 'root', file: guests.root, use: 'snapshot' },
        // vite writes a file into it
        { serial: 'modules', file: guests.modules, use: 'snapshot' },
        { serial: 'checkout', file: guests.checkoutTar, use: 'readonly' },
        { serial: 'results', file: resultsDisk(directory), use: 'write' },
      ],
      memoryMib: MEMORY_MIB,
      commandLine: [
        `root=${machine.rootDevice}`,
        'rootwait',
        'rw',
        'quiet',
        ...LSM_WORDS[world.lsm],
        'systemd.show_status=error',
        `troupe.part=${part.name}`,
        `troupe.patience=${machine.patience}`,
        `troupe.commit=${tree.commit}`,
      ],
      directory,
      timeoutMs: GUEST_TIMEOUT_MS * machine.patience,
      cut: cut.signal,
      onOutput: (text) => {
        process.stdout.write(text.replaceAll('\r', ''));
        rest = (rest + text).slice(-JOB_IS_OVER.length - text.length);
        if (rest.includes(JOB_IS_OVER)) timer ??= setTimeout(() => cut.abort(), POWER_OFF_MS);
      },
    });
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    clearTimeout(timer);
  }
  return cut.signal.aborted
    ? `the guest did not power off within ${POWER_OFF_MS / 1000} s after the job's end`
    : undefined;
}

/** Runs a part and counts it. A guest that left no report counts as one failure, with the end of its console. */
export async function runPart(guests: Guests, part: Part): Promise<KeptPart> {
  const startedAt = performance.now();
  const directory = join(guests.directory, part.name);
  await mkdir(directory);
  const trouble = await playPart(guests, part, directory);
  const reports = await reportsOf(directory);
  const isWhole = reports.length === part.boots.length;
  if (trouble !== undefined) console.log(`${guests.world.name}, ${part.name}: ${trouble}`);
  const result = summed(
    part.name,
    reports,
    isWhole
      ? undefined
      : `${reports.length} of ${part.boots.length} reports: ${trouble ?? (await lastLines(consoleLog(directory)))}`,
  );
  const seconds = (performance.now() - startedAt) / 1000;
  if (!guests.isKeeping) await rm(directory, { recursive: true });
  return {
    // with the boot and the way to the power-off
    result: { ...result, seconds },
    versions: Object.assign({}, ...reports.map(({ versions }) => versions)) as KeptPart['versions'],
    day: new Date().toISOString().slice(0, 10),
  };
}
