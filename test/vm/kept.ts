// What the parts of a guest came to, kept by world and commit, so that a run that was cut off goes on with the parts
// that are left, and the figures of a world can be made part by part.
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { blockOf, readFigures, writeFigures } from '../../scripts/support/figures.ts';
import { gitIn } from '../../scripts/support/git.ts';
import { recordSkips } from '../../scripts/support/skips.ts';
import type { StepResult } from '../../scripts/support/steps.ts';
import { cacheDirectory, checkout } from '../support/tools/cache.ts';
import { partsOf } from './guest/parts.ts';
import type { World } from './world.ts';

/** What one part came to. */
export interface KeptPart {
  readonly result: StepResult;
  /** Of the programs in its guest, such as `runc: 1.3.0`. */
  readonly versions: Readonly<Record<string, string>>;
  /** The day of the run, `YYYY-MM-DD`. */
  readonly day: string;
}

/** Of a guest's test report: enough for the first assertion that failed. */
const REASON_CHARACTERS = 300;

/** The checkout that a run packs. */
export interface Tree {
  /** Short. */
  readonly commit: string;
  /** Files differ from the commit, those of tests included: nothing is kept. */
  readonly isChanged: boolean;
}

/** Asked once, before the checkout is packed: what changes while guests run is no part of the run. */
export function currentTree(): Tree {
  return {
    commit: gitIn(checkout, 'rev-parse', '--short=8', 'HEAD'),
    // a run's own figures
    isChanged:
      gitIn(checkout, 'status', '--porcelain', '--', '.', ':!docs/figures.md', ':!docs/skips.json') !== '',
  };
}

/** The parts of a world that were run on one commit. Of a changed tree it keeps nothing. */
export class Kept {
  readonly #tree: Tree;
  readonly #world: World;

  constructor(tree: Tree, world: World) {
    this.#tree = tree;
    this.#world = world;
  }

  #file(part: string): string {
    return join(cacheDirectory, 'vm/results', this.#world.name, this.#tree.commit, `${part}.json`);
  }

  /** Undefined when it was not run on this commit. */
  async read(part: string): Promise<KeptPart | undefined> {
    if (this.#tree.isChanged || !existsSync(this.#file(part))) return undefined;
    const kept = JSON.parse(await readFile(this.#file(part), 'utf8')) as Partial<KeptPart>;
    return kept.result === undefined ? undefined : (kept as KeptPart);
  }

  async write(part: KeptPart): Promise<void> {
    if (this.#tree.isChanged) return;
    await mkdir(join(this.#file(part.result.name), '..'), { recursive: true });
    await writeFile(this.#file(part.result.name), JSON.stringify(part));
  }

  /**
   * Writes the world's block of docs/figures.md and its row of the skips from all that was run on this commit; rows of
   * other parts stay.
   */
  async writeFigures(): Promise<void> {
    if (this.#tree.isChanged) return;
    const all = new Map<string, KeptPart>();
    for (const { name } of partsOf(this.#world)) {
      const kept = await this.read(name);
      if (kept !== undefined) all.set(name, kept);
    }
    if (all.size === 0) return;
    const { name } = this.#world;
    const block = `vm ${name}`;
    const results = [...all.values()].map(({ result }) => result);
    writeFigures(
      block,
      `Guest ${name}: systemd and cgroup v2 (\`npm run test:vm -- --world ${name}\`)`,
      figuresOf(
        partsOf(this.#world).map((part) => part.name),
        all,
        { commit: this.#tree.commit, earlier: earlierOf(blockOf(readFigures(), block)) },
      ),
      `commit ${this.#tree.commit}, ${[...all.values()]
        .map(({ day }) => day)
        .toSorted()
        .at(-1)}`,
    );
    recordSkips(
      `guest ${name}`,
      results.reduce((sum, { passed, failed, skipped }) => sum + passed + failed + skipped, 0),
      results.flatMap(({ reasons = [] }) => reasons),
    );
  }
}

/** Text for a cell. */
const cell = (text: string): string =>
  text.replaceAll(/\s+/gu, ' ').slice(0, REASON_CHARACTERS).replaceAll('|', '\\|').replaceAll('<', '&lt;');

/** Rows of a block as it is: the counts of each part that was run, and what failed in it. */
export interface Earlier {
  readonly counts: ReadonlyMap<string, string>;
  readonly failures: ReadonlyMap<string, readonly string[]>;
}

/** Reads a block; a row that names no commit was made on the block's. */
export function earlierOf(block: string): Earlier {
  const commit = /^commit (\S+),/mu.exec(block)?.[1] ?? '';
  const [counted = '', failed = ''] = block.split('| part | what failed |');
  const counts = [...counted.matchAll(/^\| (\S+) (\| \d+ \| \d+ \| \d+ \| [\d.]+ \|)(.*)$/gmu)].map(
    ([, name = '', row = '', rest = '']) => [name, rest === '' ? `${row} ${commit} |` : row + rest] as const,
  );
  const failures = [...failed.matchAll(/^\| (\S+) \| .*$/gmu)];
  return {
    counts: new Map(counts),
    failures: new Map(
      [...Map.groupBy(failures, ([, name = '']) => name)].map(([name, rows]) => [
        name,
        rows.map(([row]) => row),
      ]),
    ),
  };
}

/**
 * Versions, a row for each part, and what failed. A part that was not run on this commit keeps its rows, which name
 * theirs: a whole world takes hours.
 * @param parts of the world, run or not
 */
export function figuresOf(
  parts: readonly string[],
  all: ReadonlyMap<string, KeptPart>,
  { commit, earlier }: { readonly commit: string; readonly earlier: Earlier },
): string {
  const versions = new Map([...all.values()].flatMap((kept) => Object.entries(kept.versions)));
  const failures = parts.flatMap(
    (name) =>
      all.get(name)?.result.failures.map((failure) => `| ${name} | ${cell(failure)} |`) ??
      earlier.failures.get(name) ??
      [],
  );
  return [
    [...versions].map(([program, version]) => `${program} ${version}`).join(', '),
    '',
    '| part | passed | failed | skipped | minutes | commit |',
    '|---|---|---|---|---|---|',
    ...parts.map((name) => {
      const result = all.get(name)?.result;
      if (result === undefined) return `| ${name} ${earlier.counts.get(name) ?? '| not run | | | | |'}`;
      const { passed, failed, skipped, seconds } = result;
      return `| ${name} | ${passed} | ${failed} | ${skipped} | ${(seconds / 60).toFixed(1)} | ${commit} |`;
    }),
    ...(failures.length === 0 ? [] : ['', '| part | what failed |', '|---|---|', ...failures]),
  ].join('\n');
}
