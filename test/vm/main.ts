// `sudo npm run test:vm [-- --only PART,…] [--keep]`: a Debian guest with systemd, cgroup v2 alone and AppArmor, under
// QEMU. It runs the tests of test/vm/guest on the checkout as it is now, reboots in the middle, and ends. Prints each
// test by name, and as the last line `N passed, N failed`. Nothing is left but the cache.
import { mkdir, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeFigures } from '../../scripts/support/figures.ts';
import { type StepResult, summarize } from '../../scripts/support/steps.ts';
import { run, runOrThrow } from '../support/run.ts';
import { imageByDigest } from '../support/images/critest-images.ts';
import { crictl, critest, runc14 } from '../support/tools/go-tools.ts';
import { consoleLog, resultsDisk, runGuest } from './qemu.ts';
import { countPart, type PartReport } from './report.ts';
import { hostParts, modulesDisk, packCheckout, rootDisk } from './parts.ts';

/**
 * Both boots with all tests: an emulator is ten to twenty times slower than the machine, and the machine may be busy.
 */
const GUEST_TIMEOUT_MS = 3 * 60 * 60_000;

const { values: options } = parseArgs({
  options: { keep: { type: 'boolean', default: false }, only: { type: 'string' } },
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
  ]) {
    const found = await run(['which', program ?? '']).then(
      ({ code }) => code === 0,
      () => false,
    );
    if (!found) return `there is no ${program} (Debian's ${owner}) on this machine`;
  }
  return undefined;
}

/** What each part of the job came to, by the reports that it left. */
async function results(directory: string): Promise<StepResult[]> {
  const target = join(directory, 'results');
  await mkdir(target);
  await runOrThrow(['tar', '--extract', '--file', resultsDisk(directory), '-C', target]);
  const reports = (await readdir(target)).filter((name) => name.endsWith('.json')).sort();
  return await Promise.all(
    reports.map(async (name) =>
      countPart(JSON.parse(await readFile(join(target, name), 'utf8')) as PartReport),
    ),
  );
}

/** A row per part; its tests by name stand on the terminal. */
const figures = (parts: readonly StepResult[]): string =>
  [
    '| part | passed | failed | skipped |',
    '|---|---|---|---|',
    ...parts.map(({ name, passed, failed, skipped }) => `| ${name} | ${passed} | ${failed} | ${skipped} |`),
  ].join('\n');

async function main(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'troupe-vm-'));
  const clean = async (): Promise<void> => await rm(directory, { recursive: true, force: true });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      void clean().finally(() => process.exit(130));
    });
  }
  try {
    // built here, run there
    await Promise.all([crictl(), runc14(), critest(imageByDigest.manifest.digest)]);
    const checkoutTar = join(directory, 'checkout.tar');
    const [host, root, modules] = [await hostParts(), await rootDisk(), await modulesDisk()];
    await packCheckout(checkoutTar);
    await runGuest({
      parts: host,
      directory,
      checkoutTar,
      rootDisk: root,
      modulesDisk: modules,
      timeoutMs: GUEST_TIMEOUT_MS,
      only: options.only,
      onOutput: (text) => process.stdout.write(text.replaceAll('\r', '')),
    });
    const parts = await results(directory);
    if (options.only === undefined)
      writeFigures('vm', 'Guest with systemd, cgroup v2 and AppArmor (`npm run test:vm`)', figures(parts));
    summarize(parts);
  } finally {
    if (options.keep) console.error(`kept for inspection: ${directory} (${consoleLog(directory)})`);
    else await clean();
  }
}

const reason = await hindrance();
if (reason === undefined) await main();
else {
  console.error(`test:vm: ${reason}`);
  process.exitCode = 1;
}
