/**
 * Every order and every placement of a few faults in a small world: two pods, up to three faults. The search goes depth
 * first. By default the oldest thing that can happen does; a deviation takes another one, or the next timer, first. A
 * path ends where a state comes up that was seen with as many faults and deviations left. The world cannot be copied,
 * so that each path runs from its begin.
 */
import type { PodPlan } from './kubelet.ts';
import { run } from './run.ts';
import type { Failure } from './run.ts';
import { StateHash } from './state-hash.ts';
import type { World } from './world.ts';

type Choice =
  /** The thing at this place of those that can happen. */
  { readonly kind: 'take'; readonly at: number } | { readonly kind: 'kill' | 'power' | 'error' };

interface Planned {
  readonly step: number;
  readonly choice: Choice;
}

/** The choices of a path that are not the default, and what it may still spend. */
interface Path {
  readonly planned: readonly Planned[];
  readonly faults: number;
  readonly deviations: number;
}

export interface SearchOptions {
  readonly pods: number;
  readonly faults: number;
  readonly deviations: number;
  /** Paths after which the search ends incomplete. */
  readonly paths: number;
  /** Seconds after which no further path begins. */
  readonly withinS?: number;
}

export interface SearchResult {
  readonly states: number;
  /** Paths that ended in a state that was seen before. */
  readonly pruned: number;
  readonly paths: number;
  /** Paths that were found and not followed: 0 when the search is complete. */
  readonly left: number;
  readonly failures: readonly { readonly path: readonly Planned[]; readonly failure: Failure }[];
}

const PLAN: PodPlan = {
  name: 'pod',
  containers: ['main'],
  image: 'sim/one:1',
  runs: 1,
  graceMs: 50,
  teardown: 'sandboxOnly',
  livesMs: 100,
  resizes: false,
  sharedPid: false,
  hostNetwork: false,
};

/** Steps after which a path that has not ended is taken to the end of its faults: ten times what a long one needs. */
const STEPS = 20_000;
const FAULTS = ['kill', 'power', 'error'] as const;
/** A port's effect, not its answer. */
const EFFECT = /^(?!disk\.)[a-z]+\.\w+$/iu;

/** Follows all paths, or as many as the options allow. */
export async function search(options: SearchOptions): Promise<SearchResult> {
  const { paths, withinS = Infinity } = options;
  const begun = process.hrtime.bigint();
  const course = new Search(options);
  let done = 0;
  while (done < paths && Number(process.hrtime.bigint() - begun) / 1e9 < withinS) {
    if (!(await course.next())) break;
    done += 1;
  }
  return course.result(done);
}

class Search {
  readonly #options: SearchOptions;
  readonly #open: Path[];
  /** By state, the most faults and deviations that were left when it was seen, as `faults/deviations`. */
  readonly #seen = new Map<string, Set<string>>();
  readonly #failures: { path: readonly Planned[]; failure: Failure }[] = [];
  #pruned = 0;

  constructor(options: SearchOptions) {
    this.#options = options;
    this.#open = [{ planned: [], faults: options.faults, deviations: options.deviations }];
  }

  result(paths: number): SearchResult {
    return {
      states: this.#seen.size,
      pruned: this.#pruned,
      paths,
      left: this.#open.length,
      failures: this.#failures,
    };
  }

  /** Follows the path that was found last; false when none is left. */
  async next(): Promise<boolean> {
    const path = this.#open.pop();
    if (path === undefined) return false;
    const walk = new Walk(path, (state) => this.#isNew(state, path));
    const { failure } = await run({
      seed: 1,
      fixed: true,
      pods: Array.from({ length: this.#options.pods }, (_none, n) => ({
        ...PLAN,
        name: `pod-${n}`,
        // only one pulls a network's garbage along
        hostNetwork: n > 0,
      })),
      fresh: false,
      troubleSteps: STEPS,
      trouble: (world) => walk.before(world),
      isOver: () => walk.isOver,
    });
    if (walk.isOver) this.#pruned += 1;
    if (failure !== undefined) this.#failures.push({ path: path.planned, failure });
    this.#open.push(...walk.found);
    return true;
  }

  #isNew(state: string, { faults, deviations }: Path): boolean {
    const seen = this.#seen.get(state) ?? new Set();
    for (const left of seen) {
      const [f = 0, d = 0] = left.split('/').map(Number);
      if (f >= faults && d >= deviations) return false;
    }
    this.#seen.set(state, seen.add(`${faults}/${deviations}`));
    return true;
  }
}

/** One path. */
class Walk {
  isOver = false;
  readonly found: Path[] = [];
  readonly #path: Path;
  readonly #isNew: (state: string) => boolean;
  readonly #planned: ReadonlyMap<number, Choice>;
  readonly #last: number;
  #hash: StateHash | undefined;
  #step = -1;

  constructor(path: Path, isNew: (state: string) => boolean) {
    this.#path = path;
    this.#isNew = isNew;
    this.#planned = new Map(path.planned.map(({ step, choice }) => [step, choice]));
    this.#last = path.planned.at(-1)?.step ?? -1;
  }

  /** Before each step: does what is planned; past the plan, notes the state and what else could be done here. */
  before(world: World): void {
    this.#step += 1;
    this.#hash ??= begin(world);
    world.outside.rates.error = 0;
    world.scheduler.director = () => 0;
    const choice = this.#planned.get(this.#step);
    if (choice !== undefined) act(world, choice);
    else if (this.#step > this.#last) {
      if (this.#isNew(this.#hash.whole())) this.#branch(world.scheduler.labels(), world.scheduler.timers > 0);
      else this.isOver = true;
    }
    // ids are learned while their records are there
    else this.#hash.outside();
  }

  #branch(labels: readonly string[], hasTimer: boolean): void {
    const { planned, faults, deviations } = this.#path;
    const add = (choice: Choice, left: Pick<Path, 'faults' | 'deviations'>): void =>
      void this.found.push({ planned: [...planned, { step: this.#step, choice }], ...left });
    if (deviations > 0)
      for (let at = 1; at < labels.length + (hasTimer && labels.length > 0 ? 1 : 0); at += 1)
        if (labels.indexOf(labels[at] ?? 'timer') === (at < labels.length ? at : -1))
          add({ kind: 'take', at }, { faults, deviations: deviations - 1 });
    if (faults === 0) return;
    for (const kind of FAULTS)
      if (kind !== 'error' || EFFECT.test(labels[0] ?? '')) add({ kind }, { faults: faults - 1, deviations });
  }
}

function begin(world: World): StateHash {
  world.kernel.program = () => ({ livesMs: undefined, exitCode: 0, stubborn: false });
  return new StateHash(world);
}

function act(world: World, choice: Choice): void {
  if (choice.kind === 'take') world.scheduler.director = () => choice.at;
  else if (choice.kind === 'error') world.outside.rates.error = 1;
  else world.crash({ power: choice.kind === 'power' });
}
