// The job of each boot, run in the guest by its unit (../root-disk.ts): one part, whose report becomes a file on the
// results' disk. Ends with 75 where the machine is to be rebooted and the part to go on.
import { spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run, runOrThrow } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { JOB_IS_OVER, KEPT_OUTPUT, type PartReport } from '../report.ts';
import { makeNode, STATE } from './node.ts';
import { type Part, parts } from './parts.ts';
import { denials, labelProgram } from './selinux.ts';

const REBOOT = 75;
const REPORTS = join(STATE, 'reports');
/** Number of boots that are over, and the seconds that they took. */
const PROGRESS = join(STATE, 'progress.json');

interface Progress {
  readonly boots: number;
  readonly seconds: number;
}

/** Runs a program with its output on ours; answers its exit code and the end of the output. */
async function show(argv: readonly string[], env: Part['env']): Promise<{ code: number; output: string }> {
  const [name = '', ...args] = argv;
  const child = spawn(name, args, {
    cwd: checkout,
    stdio: ['ignore', 'pipe', 'pipe'],
    // CI: lines as they come, no picture that is drawn anew
    env: { ...process.env, CI: '1', ...env },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-KEPT_OUTPUT);
      process.stdout.write(text);
    });
  const code = await new Promise<number>((resolve) => {
    child.once('error', () => resolve(-1));
    child.once('close', (ended) => resolve(ended ?? -1));
  });
  return { code, output };
}

const word = (name: string, commandLine: string): string =>
  new RegExp(`\\b${name}=(\\S+)`, 'u').exec(commandLine)?.[1] ?? '';

async function main(): Promise<number> {
  const commandLine = await readFile('/proc/cmdline', 'utf8');
  const wanted = word('troupe\\.part', commandLine);
  const part = parts.find(({ name }) => name === wanted);
  if (part === undefined) throw new Error(`there is no part ${wanted}`);
  await mkdir(REPORTS, { recursive: true });
  const before = await readFile(PROGRESS, 'utf8').then(
    (text) => JSON.parse(text) as Progress,
    (): Progress => ({ boots: 0, seconds: 0 }),
  );
  if (before.boots === 0) await labelProgram();
  // critest loads its AppArmor profiles through it; root is the only user here
  await writeFile('/usr/local/bin/sudo', '#!/bin/sh\nexec "$@"\n', { mode: 0o755 });
  if (before.boots === 0 && part.hasService === true) await makeNode();
  if (part.needsClockSpeed === true) await showClockSpeed();
  const argv = part.boots[before.boots];
  if (argv === undefined) throw new Error(`${wanted} has no boot ${before.boots + 1}`);
  const startedAt = performance.now();
  const file = join(STATE, 'report.json');
  const { code, output } = await show(argv(file), {
    TROUPE_TEST_PATIENCE: word('troupe\\.patience', commandLine),
    ...part.env,
  });
  const seconds = before.seconds + (performance.now() - startedAt) / 1000;
  const boots = before.boots + 1;
  const report = await readFile(file, 'utf8').catch(() => '');
  for (const line of await denials()) console.log(`denied: ${line}`);
  const result: PartReport = { name: wanted, code, seconds, report, output, versions: await versions() };
  await writeFile(join(REPORTS, `${boots}.json`), JSON.stringify(result));
  if (boots === part.boots.length) return 0;
  await writeFile(PROGRESS, JSON.stringify({ boots, seconds } satisfies Progress));
  return REBOOT;
}

/** Puts a speed, any, into /proc/cpuinfo. */
async function showClockSpeed(): Promise<void> {
  const shown = '/proc/cpuinfo';
  const text = await readFile(shown, 'utf8');
  if (/^cpu MHz\s*:/mu.test(text)) return;
  const file = join(STATE, 'cpuinfo');
  await writeFile(file, text.replace(/^(processor\s*:.*)$/gmu, '$1\ncpu MHz\t\t: 1000.000'));
  await runOrThrow(['mount', '--bind', file, shown]);
}

/** By the first line that each program prints about itself. */
async function versions(): Promise<PartReport['versions']> {
  const all: Record<string, string> = {};
  for (const [name, ...argv] of [
    ['Linux', 'uname', '-r'],
    ['systemd', 'systemctl', '--version'],
    ['runc', 'runc', '--version'],
    ['crun', 'crun', '--version'],
    ['conmon', 'conmon', '--version'],
  ] as const) {
    const said = await run(argv).catch(() => undefined);
    const version = /\d[\w.+~-]*/u.exec(said?.stdout ?? '')?.[0];
    if (version !== undefined) all[name] = version;
  }
  return all;
}

/** The journal of all boots and the state of our units, to find a failure's reason. */
async function handOver(): Promise<void> {
  for (const [name, ...argv] of [
    ['journal.log', 'journalctl', '--no-pager'],
    ['units.log', 'systemctl', 'show', '--all', '--no-pager', 'troupe*'],
  ] as const)
    await writeFile(join(REPORTS, name), (await run(argv)).stdout);
  const results = process.env['TROUPE_VM_RESULTS'] ?? '';
  await runOrThrow(['tar', '--create', '--file', results, '-C', REPORTS, '.']);
  // a guest that does not power off is killed, and its page cache with it
  await runOrThrow(['sync', results]);
}

process.exitCode = await main().catch((error: unknown) => {
  console.log(`the job failed: ${error instanceof Error ? error.stack : String(error)}`);
  return 1;
});
await handOver();
if (process.exitCode !== REBOOT) console.log(JOB_IS_OVER);
