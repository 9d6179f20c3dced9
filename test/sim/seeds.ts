/**
 * A seed draws everything: pods, manners, which kinds of fault are on and how often. Quiet and harsh runs both occur.
 */
import { randomStream } from './random.ts';
import type { ContainerId } from '../../src/base/ids.ts';
import type { Random } from './random.ts';
import { Client, kindOf } from './client.ts';
import type { PodPlan } from './kubelet.ts';
import type { Program } from './kernel.ts';
import { run } from './run.ts';
import type { RunOptions, RunResult } from './run.ts';
import { REFERENCES } from './storage-images-twins.ts';
import { TAKE_OVER_MUTANTS } from './planted.ts';
import type { Mutant } from './planted.ts';
import { changeSurroundings, drawExtras, drawMoods } from './seed-surroundings.ts';
import { drawAim, Seeker } from './seed-targets.ts';
import type { Aim } from './seed-targets.ts';
import type { World } from './world.ts';

interface Troubles {
  readonly crash: number;
  readonly power: number;
  readonly error: number;
  readonly hang: number;
  readonly diskError: number;
  readonly diskFull: number;
  readonly initDies: number;
  readonly drain: number;
  readonly monitorDies: number;
  readonly sandboxBreaks: number;
  readonly timerFirst: number;
}

const STEPS = 1500;
/** Those of a hand-over that ends while it waits for an effect. */
const LANDING_MUTANTS = new Set<Mutant>(['landingGoesOn', 'markForgotten']);
const LONG_GRACE_MS = 30_000;
const YEAR_S = 31_536_000;

export type SeedOptions = Pick<RunOptions, 'mutant' | 'inspect' | 'mode' | 'changes'>;

/** Share of the seeds in which other daemons take over, and the most take-overs a step. */
const TAKE_OVERS = 0.15;
const TAKE_OVERS_EACH = 0.02;

/** The run of a seed. */
export function runSeed(seed: number, how: SeedOptions = {}): Promise<RunResult> {
  const { mutant = 'none', ...rest } = how;
  return run({ ...optionsOf(seed, mutant), ...rest });
}

function optionsOf(seed: number, mutant: Mutant): RunOptions {
  const random = randomStream(seed, 'plan');
  const troubles = drawTroubles(random, mutant);
  const dice = randomStream(seed, 'trouble');
  const deadlines = randomStream(seed, 'deadlines');
  const wall = randomStream(seed, 'wall clock');
  const peers = randomStream(seed, 'plugins');
  const hangs = randomStream(seed, 'hangs');
  const diskHangs = hangs.chance(0.2) ? hangs.next() * 0.01 : 0;
  const clockSet = wall.chance(0.3) ? wall.next() * 0.01 : 0;
  const impatient = random.chance(0.5);
  const around = randomStream(seed, 'surroundings');
  const versions = randomStream(seed, 'versions');
  const rare = randomStream(seed, 'rare pairs');
  const aim = mutant === 'none' ? drawAim(rare) : undefined;
  const moods = drawMoods(around);
  const handing = randomStream(seed, 'plan of take-overs');
  const takeOvers = drawTakeOvers(handing, mutant);
  const landing = randomStream(seed, 'ends of hand-overs that wait');
  const endsLanding = LANDING_MUTANTS.has(mutant) || landing.chance(0.3) ? 0.3 : 0;
  let begun = false;
  return {
    seed,
    mutant,
    takesOver: takeOvers > 0,
    hasPlugins: peers.chance(0.2) || aim?.hasPlugins === true,
    collects: peers.chance(0.3),
    upgrades: versions.chance(0.15) ? 0.4 : 0,
    pods: Array.from({ length: 1 + random.int(3) }, (_none, n) => ({
      ...drawPod(random, n),
      ...drawCheckpoints(seed, n),
      ...(mutant === 'graceRestarted' ? { graceMs: LONG_GRACE_MS } : {}),
      ...drawExtras(seed, n),
      ...aim?.pod,
    })),
    manners: {
      duplicates: random.chance(0.5) ? 0.2 : 0,
      deadlineMs: () => (impatient && deadlines.chance(0.4) ? 5 + deadlines.int(200) : 240_000),
    },
    chaos: random.chance(0.5),
    diskPressure: around.chance(0.2),
    waitsForCollector: around.chance(0.01),
    waitsForUnclaimed: random.chance(0.15),
    troubleSteps: 200 + random.int(STEPS),
    trouble: (world) => {
      if (!begun) {
        begun = true;
        begin(world, seed, troubles);
        if (aim !== undefined) takeAim(world, aim, rare);
        if (around.chance(0.5)) world.surroundings.collectFailures = 1;
      }
      disturb(world, troubles, dice);
      if (handing.chance(takeOvers)) world.daemons?.takeOver();
      if (landing.chance(endsLanding)) world.daemons?.killNextWhileLanding();
      if (wall.chance(clockSet)) setClock(world, wall);
      if (hangs.chance(diskHangs)) hangDisk(world, hangs);
      changeSurroundings(world, moods, around);
    },
  };
}

/** Take-overs a step; 0 in a seed without. */
function drawTakeOvers(random: Random, mutant: Mutant): number {
  const isDrawn = random.chance(TAKE_OVERS);
  const isOn = mutant === 'none' ? isDrawn : TAKE_OVER_MUTANTS.has(mutant);
  return isOn ? (0.1 + 0.9 * random.next()) * TAKE_OVERS_EACH : 0;
}

/** A swarm: each kind is on in some seeds only, with a rate of its own. */
function drawTroubles(random: Random, mutant: Mutant): Troubles {
  const sometimes = (chance: number, most: number): number =>
    random.chance(chance) ? random.next() * most : 0;
  const drawn = {
    crash: sometimes(0.6, 0.02),
    power: sometimes(0.4, 0.008),
    error: sometimes(0.4, 0.15),
    hang: sometimes(0.25, 0.05),
    diskError: sometimes(0.3, 0.1),
    diskFull: sometimes(0.3, 0.02),
    drain: sometimes(0.2, 0.01),
    initDies: sometimes(0.3, 0.01),
    timerFirst: sometimes(0.4, 0.04),
    monitorDies: sometimes(0.2, 0.005),
    sandboxBreaks: sometimes(0.25, 0.005),
  };
  if (mutant === 'fsyncDropped') return { ...drawn, power: Math.max(drawn.power, 0.004) };
  // a hand-over that ends early
  if (mutant === 'thawForgets') return { ...drawn, crash: Math.max(drawn.crash, 0.01) };
  if (LANDING_MUTANTS.has(mutant)) return { ...drawn, hang: Math.max(drawn.hang, 0.03) };
  // a hand-over in which the daemon is stopped
  if (mutant === 'nextLeft') return { ...drawn, drain: Math.max(drawn.drain, 0.01) };
  // what holds a stop up hides that its grace period began anew
  if (mutant === 'graceRestarted')
    return { ...drawn, crash: Math.max(drawn.crash, 0.01), error: 0, hang: 0, diskError: 0, diskFull: 0 };
  return drawn;
}

function drawPod(random: Random, n: number): PodPlan {
  return {
    name: `pod-${n}`,
    containers: random.chance(0.5) ? ['main'] : ['main', 'side'],
    image: random.pick(REFERENCES),
    runs: 1 + random.int(2),
    graceMs: random.pick([0, 50, 500, 30_000]),
    teardown: random.pick(['tidy', 'sandboxOnly', 'sandboxStopped', 'sandboxRemoved', 'removeOnly'] as const),
    livesMs: random.int(500),
    resizes: random.chance(0.4),
    sharedPid: random.chance(0.3),
    hostNetwork: random.chance(0.2),
  };
}

/** Of few pods, so that most of what is covered stays the life of an ordinary one. */
function drawCheckpoints(seed: number, n: number): Pick<PodPlan, 'checkpoints'> {
  const random = randomStream(seed, `checkpoints ${n}`);
  return random.chance(0.2)
    ? { checkpoints: random.pick(['container', 'container', 'image', 'pod'] as const) }
    : {};
}

function begin(world: World, seed: number, troubles: Troubles): void {
  const program = programs(seed);
  // only what does not obey outlives its grace period
  world.kernel.program =
    world.mutant === 'graceRestarted'
      ? (id) => ({ ...program(id), livesMs: undefined, stubborn: true })
      : program;
  world.kernel.unsynced.isLossy = true;
  world.outside.rates.error = troubles.error;
  world.outside.rates.hang = troubles.hang;
  world.diskErrorRate = troubles.diskError;
  world.scheduler.timerFirst = troubles.timerFirst;
}

function takeAim(
  world: World,
  { targets, from, diskError = 0, isStubborn = false }: Aim,
  rare: Random,
): void {
  const { kernel } = world;
  world.outside.targets = targets;
  world.diskErrorRate = Math.max(diskError, world.diskErrorRate);
  if (isStubborn) {
    const { program } = kernel;
    kernel.program = (id) => ({ ...program(id), livesMs: undefined, stubborn: true });
  }
  new Seeker(world, rare).work(from);
}

/** What a container's program does follows from the seed and its id. */
function programs(seed: number): (containerId: string) => Program {
  return (containerId) => {
    const random = randomStream(seed, `program ${containerId}`);
    return {
      livesMs: random.chance(0.4) ? random.int(300) : undefined,
      exitCode: random.int(4),
      stubborn: random.chance(0.2),
      ...(random.chance(0.05) ? { stuckMs: random.int(30_000) } : {}),
      ...(random.chance(0.05) ? { isHungry: true } : {}),
      ...(random.chance(0.2) ? { memoryBytes: BigInt(random.int(1024 * 1024)) } : {}),
      ...(random.chance(0.5) ? { lines: random.int(6), lastLines: random.int(3) } : {}),
    };
  };
}

function disturb(world: World, troubles: Troubles, dice: Random): void {
  if (world.troupe !== undefined || dice.chance(0.2)) {
    if (dice.chance(troubles.crash)) world.crash({ power: false });
    if (dice.chance(troubles.power)) world.crash({ power: true });
  }
  if (dice.chance(troubles.diskFull)) fillDisk(world, dice);
  else if (dice.chance(0.01)) world.disk.capacityBytes = Number.MAX_SAFE_INTEGER;
  if (dice.chance(troubles.drain)) world.drain();
  if (dice.chance(troubles.monitorDies)) killMonitor(world, dice);
  if (dice.chance(troubles.sandboxBreaks)) breakOne(world, dice);
  if (dice.chance(troubles.initDies)) {
    const all = [...world.kernel.processes.values()].filter((one) => one.kind === 'init');
    // an end before anybody was handed the id is rare by itself
    const unclaimed = all.filter(
      ({ owner }) => world.troupe?.directory.container(owner as ContainerId)?.claimed === false,
    );
    const inits = unclaimed.length > 0 ? unclaimed : all;
    if (inits.length > 0) {
      world.made.initKilled += 1;
      world.kernel.endInit(dice.pick(inits).owner, 137);
    }
  }
}

/** By up to a year, either way (F78). */
function setClock(world: World, dice: Random): void {
  world.made.clockSet += 1;
  world.scheduler.setWall(BigInt(dice.int(2 * YEAR_S) - YEAR_S) * 1_000_000_000n);
}

/** The disk hangs (F91); what needs no record of its own is asked for meanwhile. */
function hangDisk(world: World, dice: Random): void {
  world.hungDisk.hang();
  const running = (world.troupe?.directory.containers() ?? []).filter((view) => view.state === 'running');
  if (running.length === 0) return;
  void probe(world, dice.pick(running).id, dice);
}

async function probe(world: World, id: ContainerId, dice: Random): Promise<void> {
  const client = new Client(world, () => 240_000);
  const { nowMs: beganMs, hurried } = world.scheduler;
  const isHanded = (): boolean => world.daemons?.isHanding === true;
  const [wasHanded, freezes, serving] = [isHanded(), world.daemons?.freezes, world.daemons?.acceptor];
  const answered = await client.exec(id).then(
    () => true,
    (thrown: unknown) => kindOf(thrown) !== 'cancelled',
  );
  // a hand-over, which calls wait for, waits for the disk; a call that a former daemon passes on outlives the daemon
  // that serves, and waits for the next one (seed 304502)
  const isDelayed = wasHanded || world.daemons?.freezes !== freezes || world.daemons?.acceptor !== serving;
  // a timer that ran before what was due took the clock far ahead of an answer that was on its way
  if (answered && !isDelayed && world.scheduler.hurried === hurried)
    world.answers.execAnswered(id, world.scheduler.nowMs - beganMs);
  if (dice.chance(0.5)) await client.reopenLog(id).catch(() => undefined);
}

function fillDisk(world: World, dice: Random): void {
  world.made.diskFull += 1;
  world.disk.capacityBytes = world.disk.usedBytes() + dice.int(2000);
}

/** A monitor is killed (F38): its container goes on, and its exit code is lost. */
function killMonitor(world: World, dice: Random): void {
  const monitors = [...world.kernel.processes.values()].filter((one) => one.kind === 'monitor');
  if (monitors.length === 0) return;
  world.made.monitorKilled += 1;
  world.kernel.kill('monitor', dice.pick(monitors).owner);
}

/** Somebody else takes a part of a sandbox. */
function breakOne(world: World, dice: Random): void {
  const pinned = [...world.kernel.pins.keys()];
  if (pinned.length === 0) return;
  if (world.kernel.breakSandbox(dice.pick(pinned), dice.pick(['pause', 'net', 'ipc'] as const)))
    world.made.sandboxBroken += 1;
}
