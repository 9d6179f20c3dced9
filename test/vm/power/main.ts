// `sudo npm run power-loss [-- --cuts 50 --fs ext4,xfs,btrfs --seed N --images N --plant NAME]`: the power of a node is
// cut while it runs pods and pulls images. A guest (test/vm) has the daemon's root on a disk of which each write and
// flush is recorded; it is killed, and what the disk may hold is made from the record: all that a flush covered, and of
// the later writes any, whole or torn. A second guest starts the daemon on each such disk. Sessions that are done are
// kept by commit, so that a run that was cut off goes on; `--anew` forgets them.
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { commitAndDate, writeFigures } from '../../../scripts/support/figures.ts';
import { gitIn } from '../../../scripts/support/git.ts';
import { cacheDirectory, checkout } from '../../support/tools/cache.ts';
import { modulesDisk, packCheckout } from '../checkout-disk.ts';
import { rootDisk } from '../root-disk.ts';
import { umlMachine } from '../uml.ts';
import { worldOf } from '../world.ts';
import { plantInto, plantOf } from './plants.ts';
import { type FileSystem, fileSystems, recorder } from './recorder.ts';
import { figuresOf } from './report.ts';
import { type Guests, type Plan, runSession, type SessionResult } from './session.ts';

/** User-mode Linux has 16 disks, of which a guest needs 4. */
const IMAGES_PER_GUEST = 12;
/** Of the log of one guest. */
const CUTS_PER_GUEST = 10;

const { values: options } = parseArgs({
  options: {
    cuts: { type: 'string', default: '50' },
    fs: { type: 'string', default: fileSystems.join() },
    seed: { type: 'string', default: '1' },
    images: { type: 'string', default: '1' },
    plant: { type: 'string' },
    anew: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});

const plant = options.plant === undefined ? undefined : plantOf(options.plant);
const made = commitAndDate();
/** Results of a tree with changes are not kept. */
const isChanged = gitIn(checkout, 'status', '--porcelain', '--', 'src', 'bin', 'test', 'scripts') !== '';
const commit = made.split(',')[0]?.split(' ')[1] ?? 'unknown';

const chosen = (): FileSystem[] =>
  options.fs.split(',').map((name) => {
    const found = fileSystems.find((one) => one === name);
    if (found === undefined)
      throw new Error(`there is no ${name} here; there are: ${fileSystems.join(', ')}`);
    return found;
  });

/** The sessions of a file system, as many as its cuts need. */
function plansOf(fs: FileSystem): Plan[] {
  const [cuts, imagesPerCut] = [Number(options.cuts), Number(options.images)];
  const perGuest = Math.min(CUTS_PER_GUEST, Math.floor(IMAGES_PER_GUEST / imagesPerCut));
  if (!(cuts > 0 && perGuest > 0)) throw new Error(`--cuts from 1, --images from 1 to ${IMAGES_PER_GUEST}`);
  return Array.from({ length: Math.ceil(cuts / perGuest) }, (_, session) => ({
    fs,
    seed: Number(options.seed),
    session,
    cuts: Math.min(perGuest, cuts - session * perGuest),
    imagesPerCut,
    isDiskLying: plant === 'disk',
  }));
}

async function sessionOf(guests: Guests, plan: Plan): Promise<SessionResult> {
  const key = `${plan.fs}-${plan.seed}-${plan.session}-${plan.cuts}x${plan.imagesPerCut}.json`;
  const kept =
    isChanged || plant !== undefined ? undefined : join(cacheDirectory, 'vm/power-loss', commit, key);
  if (kept !== undefined && !options.anew && existsSync(kept))
    return JSON.parse(await readFile(kept, 'utf8')) as SessionResult;
  const directory = await mkdtemp(join(guests.directory, `${plan.fs}-${plan.session}-`));
  const result = await runSession({ ...guests, directory }, plan);
  const losses = result.cuts.flatMap((one) => one.losses);
  if (losses.length > 0 && options.keep) console.log(`disks and log of this session: ${directory}`);
  else await rm(directory, { recursive: true });
  if (kept !== undefined) {
    await mkdir(dirname(kept), { recursive: true });
    await writeFile(kept, JSON.stringify(result));
  }
  return result;
}

function show(result: SessionResult): void {
  const { fs, session, seconds, writes, flushes, answers, cuts } = result;
  console.log(
    `${fs} guest ${session}: ${answers} answers, ${writes} writes, ${flushes} flushes; ${cuts.length} disks checked, ${seconds} s`,
  );
  for (const { cut, fate, inFlight, answers: before, readyMs, losses } of cuts) {
    console.log(
      `  cut ${cut} (${before} answers, ${inFlight} writes in flight, ${fate}): ready after ${readyMs} ms, ${losses.length} losses`,
    );
    for (const loss of losses) console.log(`    LOSS: ${loss.replaceAll(/\s+/gu, ' ')}`);
  }
}

async function main(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'troupe-power-'));
  const clean = async (): Promise<void> => await rm(directory, { recursive: true, force: true });
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      void clean().finally(() => process.exit(130));
    });
  try {
    const checkoutTar = join(directory, 'checkout.tar');
    const machine = await umlMachine();
    const [root, modules] = [await rootDisk(worldOf('trixie')), await modulesDisk()];
    await packCheckout(checkoutTar, [{ root: cacheDirectory, names: ['debian/busybox-static'] }]);
    if (plant !== undefined) await plantInto(checkoutTar, plant, directory);
    const guests: Guests = {
      machine,
      recorder: await recorder(),
      root,
      modules,
      checkoutTar,
      directory,
      commit,
    };
    const all: SessionResult[] = [];
    for (const plan of chosen().flatMap(plansOf)) {
      const result = await sessionOf(guests, plan);
      show(result);
      all.push(result);
    }
    const losses = all.flatMap(({ cuts }) => cuts).filter((one) => one.losses.length > 0).length;
    if (plant === undefined && !isChanged)
      writeFigures(
        'power loss',
        'Power loss (`npm run power-loss`)',
        figuresOf(all, Number(options.seed)),
        made,
      );
    console.log(
      `power-loss: ${all.flatMap(({ cuts }) => cuts).length - losses} passed, ${losses} failed${plant === undefined ? '' : ` (planted: ${plant})`}`,
    );
    if (losses > 0 !== (plant !== undefined)) process.exitCode = 1;
  } finally {
    if (options.keep) console.error(`kept for inspection: ${directory}`);
    else await clean();
  }
}

if (process.getuid?.() !== 0 || process.arch !== 'x64') {
  console.error('power-loss: needs root, to build the guest, and x86-64: sudo npm run power-loss');
  process.exitCode = 1;
} else await main();
