// `sudo npm run test:vm [-- --world NAME] [--only PART,…] [--anew] [--keep]`: a Debian guest with systemd and cgroup v2
// alone. It runs the parts of test/vm/guest/parts.ts on the checkout as it is now, each in a guest of its own. Prints
// each test by name, and as the last line `N passed, N failed`. What a part came to is kept by commit and world, so
// that a run that was cut off goes on with the parts that are left; `--anew` forgets it. Only the cache is left.
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { commitAndDate, writeFigures } from '../../scripts/support/figures.ts';
import { recordSkips } from '../../scripts/support/skips.ts';
import { type StepResult, summarize } from '../../scripts/support/steps.ts';
import { run, runOrThrow } from '../support/run.ts';
import { imageByDigest } from '../support/images/critest-images.ts';
import { cacheDirectory, checkout } from '../support/tools/cache.ts';
import { crictl, critest, runc14 } from '../support/tools/go-tools.ts';
import { modulesDisk, packCheckout } from './checkout-disk.ts';
import { foreignTools } from './foreign.ts';
import { consoleLog, type Machine, resultsDisk, runGuest } from './guest-run.ts';
import { type Part, partsOf } from './guest/parts.ts';
import { qemuMachine } from './qemu.ts';
import { countPart, type PartReport } from './report.ts';
import { rootDisk } from './root-disk.ts';
import { umlMachine } from './uml.ts';
import { type World, worldOf } from './world.ts';

/** Of one part: against a hang, since an emulator is ten to twenty times slower than the machine, which may be busy. */
const GUEST_TIMEOUT_MS = 3 * 60 * 60_000;
const MEMORY_MIB = 4096;
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

const { values: options } = parseArgs({
  options: {
    world: { type: 'string', default: 'trixie' },
    only: { type: 'string' },
    anew: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});

/** Why there can be no guest here. */
async function hindrance(): Promise<string | undefined> {
  if (process.getuid?.() !== 0)
    return 'building the guest makes device files and changes roots, so it needs root: sudo npm run test:vm';
  if (process.arch !== 'x64') return `the guest is x86-64, and this machine is ${process.arch}`;
  for (const [program, owner] of [
    ['mke2fs', 'e2fsprogs'],
    ['perl', 'perl'],
    ['apt-get', 'apt'],
    ['chroot', 'coreutils'],
    ['flex', 'flex'],
    ['bison', 'bison'],
    ['bc', 'bc'],
  ]) {
    const found = await run(['which', program ?? '']).then(
      ({ code }) => code === 0,
      () => false,
    );
    if (!found) return `there is no ${program} (Debian's ${owner}) on this machine`;
  }
  return undefined;
}

/** What a part came to, by the reports that its boots left. */
async function results(directory: string): Promise<PartReport[]> {
  const target = join(directory, 'results');
  await mkdir(target);
  await runOrThrow(['tar', '--extract', '--file', resultsDisk(directory), '-C', target]);
  const reports = (await readdir(target)).filter((name) => name.endsWith('.json')).sort();
  return await Promise.all(
    reports.map(async (name) => JSON.parse(await readFile(join(target, name), 'utf8')) as PartReport),
  );
}

/** Sums of the boots of a part. */
function summed(name: string, boots: readonly PartReport[]): StepResult {
  const counts = boots.map(countPart);
  const failures = counts.flatMap((one) => one.failures);
  if (boots.length === 0) failures.push(`${name} left no report`);
  const sum = (of: (one: StepResult) => number): number => counts.reduce((all, one) => all + of(one), 0);
  return {
    name,
    seconds: Math.max(0, ...counts.map(({ seconds }) => seconds)),
    passed: sum(({ passed }) => passed),
    failed: Math.max(
      failures.length === 0 ? 0 : 1,
      sum(({ failed }) => failed),
    ),
    skipped: sum(({ skipped }) => skipped),
    failures,
    skips: counts.flatMap(({ skips }) => skips),
  };
}

/** A row per part; its tests by name stand on the terminal. */
const figures = (all: readonly StepResult[]): string =>
  [
    '| part | passed | failed | skipped | minutes |',
    '|---|---|---|---|---|',
    ...all.map(
      ({ name, passed, failed, skipped, seconds }) =>
        `| ${name} | ${passed} | ${failed} | ${skipped} | ${(seconds / 60).toFixed(1)} |`,
    ),
  ].join('\n');

/** Where the results of this commit and world are kept; none for a tree with changes, those of tests included. */
async function keptResults(world: World): Promise<string | undefined> {
  const git = async (...args: string[]): Promise<string> =>
    (await runOrThrow(['git', '-c', 'safe.directory=*', ...args], { cwd: checkout })).trim();
  if ((await git('status', '--porcelain')) !== '') return undefined;
  return join(cacheDirectory, 'vm/results', world.name, await git('rev-parse', '--short', 'HEAD'));
}

interface Guests {
  readonly world: World;
  readonly machine: Machine;
  readonly root: string;
  readonly modules: string;
  readonly checkoutTar: string;
  readonly directory: string;
}

async function runPart(guests: Guests, part: Part): Promise<StepResult> {
  const kept = await keptResults(guests.world);
  const keptFile = kept === undefined ? undefined : join(kept, `${part.name}.json`);
  if (keptFile !== undefined && !options.anew && existsSync(keptFile))
    return JSON.parse(await readFile(keptFile, 'utf8')) as StepResult;
  console.log(`== ${guests.world.name}: ${part.name}`);
  const directory = join(guests.directory, part.name);
  await mkdir(directory);
  const { machine } = guests;
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
      ...LSM_WORDS[guests.world.lsm],
      'systemd.show_status=error',
      `troupe.part=${part.name}`,
      `troupe.commit=${commitAndDate().split(',')[0]?.split(' ')[1] ?? 'unknown'}`,
    ],
    directory,
    timeoutMs: GUEST_TIMEOUT_MS,
    onOutput: (text) => process.stdout.write(text.replaceAll('\r', '')),
  });
  const result = summed(part.name, await results(directory));
  for (const failure of result.failures) console.log(`FAILED: ${failure}`);
  if (!options.keep) await rm(directory, { recursive: true });
  if (keptFile !== undefined) {
    await mkdir(dirname(keptFile), { recursive: true });
    await writeFile(keptFile, JSON.stringify(result));
  }
  return result;
}

async function main(world: World): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'troupe-vm-'));
  const clean = async (): Promise<void> => await rm(directory, { recursive: true, force: true });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      void clean().finally(() => process.exit(130));
    });
  }
  try {
    // built here, run there
    const checkoutTar = join(directory, 'checkout.tar');
    const machine = world.machine === 'uml' ? await umlMachine() : await qemuMachine(world.architecture);
    const [root, modules] = [await rootDisk(world), await modulesDisk(world.architecture)];
    if (world.architecture === 'x64') {
      await Promise.all([crictl(), runc14(), critest(imageByDigest.manifest.digest)]);
      await packCheckout(checkoutTar);
    } else await packCheckout(checkoutTar, await foreignTools());
    const guests = { world, machine, root, modules, checkoutTar, directory };
    const wanted = partsOf(world).filter(
      ({ name }) => options.only === undefined || options.only.split(',').includes(name),
    );
    const all: StepResult[] = [];
    for (const part of wanted) all.push(await runPart(guests, part));
    if (options.only === undefined) {
      writeFigures(
        `vm ${world.name}`,
        `Guest ${world.name}: systemd and cgroup v2 (\`npm run test:vm -- --world ${world.name}\`)`,
        figures(all),
      );
      recordSkips(
        `guest ${world.name}`,
        all.reduce((sum, part) => sum + part.passed + part.failed + part.skipped, 0),
        all.flatMap(({ reasons = [] }) => reasons),
      );
    }
    summarize(all);
  } finally {
    if (options.keep) console.error(`kept for inspection: ${directory} (${consoleLog(directory)})`);
    else await clean();
  }
}

const reason = await hindrance();
if (reason === undefined) await main(worldOf(options.world));
else {
  console.error(`test:vm: ${reason}`);
  process.exitCode = 1;
}
