// One guest under load whose power is cut, and a second guest that starts the daemon on what the disk may hold after
// cuts at several points of the first one's log.
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runOrThrow } from '../../support/run.ts';
import { type Random, randomStream } from '../../sim/random.ts';
import { type Disk, type GuestRun, type Machine, resultsDisk, runGuest } from '../guest-run.ts';
import { type Entry, type Fate, fates, linesOf, makeCrashImage, readLog } from './disk-log.ts';
import { type Checked, expectedAfter, type Fact, factOf, lossesOf } from './facts.ts';
import { type FileSystem, makeFileSystem, recording } from './recorder.ts';

/** A busy machine needs minutes for what a quiet one does in one. */
const GUEST_TIMEOUT_MS = 60 * 60_000;
const MEMORY_MIB = 3072;
/** Load after the daemon is ready, ms. */
const LOAD_MS = { least: 30_000, most: 90_000 };

export interface Guests {
  readonly machine: Machine;
  readonly recorder: string;
  readonly root: string;
  readonly modules: string;
  readonly checkoutTar: string;
  readonly directory: string;
  readonly commit: string;
}

export interface Plan {
  readonly fs: FileSystem;
  readonly seed: number;
  readonly session: number;
  readonly cuts: number;
  readonly imagesPerCut: number;
  readonly isDiskLying: boolean;
}

/** What became of one crash image. */
export interface CutResult {
  readonly cut: number;
  readonly fate: Fate;
  readonly answers: number;
  readonly inFlight: number;
  readonly readyMs: number;
  readonly losses: readonly string[];
}

export interface SessionResult {
  readonly fs: FileSystem;
  readonly seed: number;
  readonly session: number;
  readonly seconds: number;
  readonly writes: number;
  readonly flushes: number;
  readonly answers: number;
  readonly cuts: readonly CutResult[];
}

async function guest(
  guests: Guests,
  plan: Plan,
  part: string,
  more: Pick<GuestRun, 'disks' | 'onOutput'> & Partial<GuestRun> & { readonly words?: readonly string[] },
): Promise<void> {
  const directory = join(guests.directory, part);
  await mkdir(directory, { recursive: true });
  const { machine } = guests;
  const disks: Disk[] = [
    { serial: 'root', file: guests.root, use: 'snapshot' },
    { serial: 'modules', file: guests.modules, use: 'snapshot' },
    { serial: 'checkout', file: guests.checkoutTar, use: 'readonly' },
    { serial: 'results', file: resultsDisk(directory), use: 'write' },
    ...more.disks,
  ];
  await runGuest(machine, {
    memoryMib: MEMORY_MIB,
    timeoutMs: GUEST_TIMEOUT_MS,
    ...more,
    disks,
    directory,
    commandLine: [
      `root=${machine.rootDevice}`,
      'rootwait',
      'rw',
      'quiet',
      'apparmor=1',
      'security=apparmor',
      'systemd.show_status=error',
      `troupe.part=${part}`,
      `troupe.commit=${guests.commit}`,
      `troupe.patience=${machine.patience}`,
      `troupe.fs=${plan.fs}`,
      ...(more.words ?? []),
    ],
  });
  await rm(directory, { recursive: true });
}

/** Hands on lines as they become whole. */
function lines(onLine: (line: string) => void): (text: string) => void {
  let rest = '';
  return (text) => {
    const all = (rest + text.replaceAll('\r', '')).split('\n');
    rest = all.pop() ?? '';
    for (const line of all) onLine(line);
  };
}

interface Recorded {
  readonly base: string;
  readonly log: string;
  readonly entries: readonly Entry[];
  readonly facts: readonly { readonly fact: Fact; readonly index: number }[];
}

/** Runs the load and cuts the power. */
async function record(guests: Guests, plan: Plan, random: Random): Promise<Recorded> {
  const base = join(guests.directory, 'base.img');
  const disk = join(guests.directory, 'disk.img');
  const log = join(guests.directory, 'disk.log');
  await makeFileSystem(plan.fs, base);
  await copySparse(base, disk);
  const cut = new AbortController();
  const loadMs = LOAD_MS.least + random.int(LOAD_MS.most - LOAD_MS.least);
  let timer: NodeJS.Timeout | undefined;
  await guest(guests, plan, 'power-load', {
    disks: [{ serial: 'data', file: disk, use: 'plain' }],
    env: recording(guests.recorder, disk, log),
    cut: cut.signal,
    words: [`troupe.seed=${plan.seed * 1000 + plan.session}`],
    onOutput: lines((line) => {
      const fact = factOf(line);
      if (fact === undefined && line.trim() !== '') console.log(`  load: ${line}`);
      if (fact?.is === 'ready') timer = setTimeout(() => cut.abort(), loadMs);
    }),
  });
  clearTimeout(timer);
  if (!cut.signal.aborted) throw new Error('the guest with the load ended before its power was cut');
  await rm(disk);
  const entries = readLog(log);
  if (!entries.some(({ kind }) => kind === 'flush'))
    throw new Error('the record of the disk has no flush: is the kernel another than record-writes.c knows?');
  const facts = linesOf(log, entries).flatMap(({ line, index }) => {
    const fact = factOf(line);
    return fact === undefined ? [] : [{ fact, index }];
  });
  return { base, log, entries, facts };
}

/** Where the power fails: at the kill, right behind answers, and anywhere between. */
function cutPoints({ entries, facts }: Recorded, count: number, random: Random): number[] {
  const ready = facts.find(({ fact }) => fact.is === 'ready')?.index;
  if (ready === undefined) throw new Error("the disk's log has no line that says that the daemon was ready");
  const answers = facts.filter(({ fact, index }) => fact.is === 'done' && index > ready);
  const points = [entries.length];
  while (points.length < count)
    points.push(
      points.length % 2 === 0 && answers.length > 0
        ? random.pick(answers).index + 1
        : ready + 1 + random.int(entries.length - ready - 1),
    );
  return points;
}

interface Made extends Omit<CutResult, 'readyMs' | 'losses'> {
  readonly end: number;
  readonly file: string;
}

async function makeImages(guests: Guests, plan: Plan, recorded: Recorded, random: Random): Promise<Made[]> {
  const { base, log, entries } = recorded;
  const made: Made[] = [];
  for (const [cut, end] of cutPoints(recorded, plan.cuts, random).entries())
    for (let copy = 0; copy < plan.imagesPerCut; copy += 1) {
      const number = made.length;
      const fate: Fate = plan.isDiskLying ? 'lying' : (fates[number % fates.length] ?? 'subset');
      const file = join(guests.directory, `image-${number}.img`);
      await copySparse(base, file);
      const inFlight = makeCrashImage(file, log, entries, {
        end,
        fate,
        random: randomStream(plan.seed, `${plan.fs} ${plan.session} image ${number}`),
      });
      const { answers } = expectedAfter(factsBefore(recorded, end));
      made.push({ cut, end, fate, inFlight, file, answers });
    }
  return made;
}

/** Most of an empty file system is a hole. */
const copySparse = async (from: string, to: string): Promise<unknown> =>
  await runOrThrow(['cp', '--sparse=always', from, to], { timeoutMs: 300_000 });

const factsBefore = ({ facts }: Recorded, end: number): Fact[] =>
  facts.filter(({ index }) => index < end).map(({ fact }) => fact);

/** Both guests. */
export async function runSession(guests: Guests, plan: Plan): Promise<SessionResult> {
  const startedAt = performance.now();
  const random = randomStream(plan.seed, `${plan.fs} session ${plan.session}`);
  const recorded = await record(guests, plan, random);
  const made = await makeImages(guests, plan, recorded, random);
  const checked = new Map<number, Checked>();
  await guest(guests, plan, 'power-verify', {
    disks: made.map(({ file }, index) => ({ serial: `image-${index}`, file, use: 'write' })),
    words: [`troupe.images=${made.length}`],
    onOutput: lines((line) => {
      const fact = factOf(line);
      if (fact?.is === 'checked') checked.set(fact.image, fact);
      else if (line.trim() !== '') console.log(`  check: ${line}`);
    }),
  });
  const cuts = made.map(({ cut, end, fate, inFlight, answers }, index): CutResult => {
    const seen = checked.get(index);
    const losses =
      seen === undefined
        ? ['the guest ended before it checked this image']
        : lossesOf(expectedAfter(factsBefore(recorded, end)), seen);
    return { cut, fate, inFlight, answers, readyMs: seen?.readyMs ?? 0, losses };
  });
  const count = (kind: Entry['kind']): number => recorded.entries.filter((one) => one.kind === kind).length;
  return {
    fs: plan.fs,
    seed: plan.seed,
    session: plan.session,
    seconds: Math.round((performance.now() - startedAt) / 1000),
    writes: count('write'),
    flushes: count('flush'),
    answers: recorded.facts.filter(({ fact }) => fact.is === 'done').length,
    cuts,
  };
}
