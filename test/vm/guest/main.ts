// The job of both boots, run in the guest by its unit (../parts.ts). Each part's report becomes a file on the results'
// disk. Ends with 75 where the machine is to be rebooted and the job to go on.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runOrThrow } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { countPart, type PartReport } from '../report.ts';
import { makeNode, STATE } from './node.ts';

const REBOOT = 75;
const REPORTS = join(STATE, 'reports');
/** There from the first boot on. */
const MARK = join(STATE, 'rebooted');

/** Runs a program with its output on ours; killed after the bound. */
async function show(argv: readonly string[], timeoutMs: number): Promise<number> {
  const [program = '', ...args] = argv;
  // CI: lines as they come, no picture that is drawn anew
  const child = spawn(program, args, {
    cwd: checkout,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, CI: '1', TROUPE_TEST_PATIENCE: '10' },
  });
  return await new Promise<number>((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    child.once('error', () => resolve(-1));
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve(code ?? -1);
    });
  });
}

interface Part {
  readonly name: string;
  readonly run: (report: string) => Promise<number>;
}

/** Bounds nothing but a hang: minutes on a quiet machine, and on a busy one an emulator gets a tenth of a CPU. */
const HOUR_MS = 60 * 60_000;

const vitest = (name: string, project: string, files: readonly string[], timeoutMs: number): Part => ({
  name,
  run: async (report) =>
    await show(
      [
        process.execPath,
        'node_modules/vitest/vitest.mjs',
        'run',
        '--project',
        project,
        ...files,
        '--reporter=verbose',
        '--reporter=json',
        `--outputFile.json=${report}`,
      ],
      timeoutMs,
    ),
});

const critest = (focus: string, timeoutMs: number): Part => ({
  name: `critest-${focus}`,
  // the guest's own runc: what its users have
  run: async (report) =>
    await show(
      [
        process.execPath,
        'test/e2e/critest/main.ts',
        '--focus',
        focus,
        '--runtime',
        '/usr/sbin/runc',
        '--report',
        report,
      ],
      timeoutMs,
    ),
});

const firstBoot: readonly Part[] = [
  vitest('systemd', 'vm', ['test/vm/guest/systemd.test.ts'], HOUR_MS),
  vitest('cgroupfs', 'integration', ['test/integration/host/cgroups.test.ts'], HOUR_MS),
  critest('AppArmor', HOUR_MS),
  vitest('before-reboot', 'vm', ['test/vm/guest/before-reboot.test.ts'], HOUR_MS),
];
const secondBoot: readonly Part[] = [
  vitest('after-reboot', 'vm', ['test/vm/guest/after-reboot.test.ts'], HOUR_MS),
];

async function runPart(number: number, part: Part): Promise<void> {
  console.log(`== ${part.name}`);
  const directory = await mkdtemp(join(tmpdir(), 'vm-part-'));
  const startedAt = performance.now();
  const file = join(directory, 'report.json');
  const code = await part.run(file);
  const report = await readFile(file, 'utf8').catch(() => '');
  const seconds = (performance.now() - startedAt) / 1000;
  const result: PartReport = { name: part.name, code, seconds, report };
  await writeFile(
    join(REPORTS, `${String(number).padStart(3, '0')}-${part.name}.json`),
    JSON.stringify(result),
  );
  await rm(directory, { recursive: true });
  for (const failure of countPart(result).failures) console.log(`FAILED: ${failure}`);
}

async function main(): Promise<number> {
  await mkdir(REPORTS, { recursive: true });
  const isSecond = existsSync(MARK);
  if (!isSecond) await makeNode();
  const only = /troupe\.only=(\S+)/u.exec(await readFile('/proc/cmdline', 'utf8'))?.[1];
  const isWanted = ({ name }: Part): boolean => only === undefined || only.split(',').includes(name);
  const parts = (isSecond ? secondBoot : firstBoot).filter(isWanted);
  for (const [at, part] of parts.entries()) await runPart(at + (isSecond ? 100 : 1), part);
  if (!isSecond && secondBoot.some(isWanted)) {
    await writeFile(MARK, '');
    return REBOOT;
  }
  return 0;
}

async function handOver(): Promise<void> {
  await runOrThrow([
    'sh',
    '-c',
    'journalctl --no-pager --unit=troupe >"$1"',
    'sh',
    join(REPORTS, 'troupe.log'),
  ]);
  await runOrThrow(['tar', '--create', '--file', process.env['TROUPE_VM_RESULTS'] ?? '', '-C', REPORTS, '.']);
}

process.exitCode = await main().catch((error: unknown) => {
  console.log(`the job failed: ${error instanceof Error ? error.stack : String(error)}`);
  return 1;
});
await handOver();
