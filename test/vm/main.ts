// `sudo npm run test:vm [-- --world NAME] [--only PART,…] [--anew] [--keep]`: a Debian guest with systemd and cgroup v2
// alone. It runs the parts of test/vm/guest/parts.ts on the checkout as it is now, each in a guest of its own. Prints
// each test by name, and as the last line `N passed, N failed`. What a part came to is kept by commit and world, so
// that a run that was cut off goes on with the parts that are left, and docs/figures.md has all that were run on the
// commit; `--anew` forgets it. For a program that runs this one: `--cached` builds no guest, and `--report FILE` takes
// the counts in place of the figures. Only the cache is left.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type StepResult, summarize } from '../../scripts/support/steps.ts';
import { run } from '../support/run.ts';
import { COMPILED, compiled, imageByDigest } from '../support/images/critest-images.ts';
import { crictl, critest, runc14 } from '../support/tools/go-tools.ts';
import { carriedWith, modulesDisk, packCheckout } from './checkout-disk.ts';
import { type Carried, foreignTools } from './foreign.ts';
import { consoleLog } from './guest-run.ts';
import { type Part, partsOf } from './guest/parts.ts';
import { currentTree, Kept } from './kept.ts';
import { qemuMachine } from './qemu.ts';
import { isRootMade, rootDisk } from './root-disk.ts';
import { runPart } from './run-part.ts';
import { isUmlBuilt, umlMachine } from './uml.ts';
import { type World, worldOf } from './world.ts';

const { values: options } = parseArgs({
  options: {
    world: { type: 'string', default: 'trixie' },
    only: { type: 'string' },
    anew: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    cached: { type: 'boolean', default: false },
    report: { type: 'string' },
  },
});

/** Why there can be no guest here. */
async function hindrance(world: World): Promise<string | undefined> {
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
  if (options.cached && !((world.machine === 'qemu' || isUmlBuilt()) && (await isRootMade(world))))
    return `the guest ${world.name} is not built: sudo npm run test:vm, once`;
  return undefined;
}

/** Built here, run there. */
async function ownTools(wanted: readonly Part[]): Promise<readonly Carried[]> {
  await Promise.all([crictl(), runc14(), critest(imageByDigest.manifest.digest), ...COMPILED.map(compiled)]);
  for (const { prepare } of wanted) await prepare?.();
  return carriedWith(wanted.flatMap(({ tools = [] }) => tools));
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
    const tree = currentTree();
    const kept = new Kept(tree, world);
    const wanted = partsOf(world).filter(
      ({ name }) => options.only === undefined || options.only.split(',').includes(name),
    );
    const checkoutTar = join(directory, 'checkout.tar');
    const machine = world.machine === 'uml' ? await umlMachine() : await qemuMachine(world.architecture);
    const [root, modules] = [await rootDisk(world), await modulesDisk(world.architecture)];
    await packCheckout(
      checkoutTar,
      world.architecture === 'x64' ? await ownTools(wanted) : await foreignTools(),
    );
    const guests = { world, machine, root, modules, checkoutTar, tree, directory, isKeeping: options.keep };
    const all: StepResult[] = [];
    for (const part of wanted) {
      const before = options.anew ? undefined : await kept.read(part.name);
      if (before === undefined) console.log(`== ${world.name}: ${part.name}`);
      const one = before ?? (await runPart(guests, part));
      for (const failure of one.result.failures) console.log(`FAILED: ${failure}`);
      await kept.write(one);
      all.push(one.result);
    }
    if (options.report === undefined) await kept.writeFigures();
    else await writeFile(options.report, JSON.stringify(all));
    summarize(all);
  } finally {
    if (options.keep) console.error(`kept for inspection: ${directory} (${consoleLog(directory)})`);
    else await clean();
  }
}

/** For a caller that runs a guest only where there is one: a skip with its reason. */
async function skip(report: string, reason: string): Promise<void> {
  console.log(`skipped: ${reason}`);
  const name = 'guest';
  const counts = { passed: 0, failed: 0, skipped: 1, failures: [], skips: [`guest: ${reason}`] };
  await writeFile(
    report,
    JSON.stringify([{ name, seconds: 0, ...counts, reasons: [reason] } satisfies StepResult]),
  );
}

const world = worldOf(options.world);
const reason = await hindrance(world);
if (reason === undefined) await main(world);
else if (options.cached && options.report !== undefined) await skip(options.report, reason);
else {
  console.error(`test:vm: ${reason}`);
  process.exitCode = 1;
}
