// `sudo npm run kubelet [-- --version 1.36 --kills 20 --kill-every 5 --only WORDS --keep]`: a real kubelet, standalone,
// on an instance of its own. Each scenario is played on a quiet daemon, then again and again while it is killed; then
// nothing may be left. Prints a table and, after a whole run, writes it into docs/figures.md. Building the kubelet
// takes many minutes, once.
import { parseArgs } from 'node:util';
import { writeFigures } from '../../../scripts/support/figures.ts';
import { recordSkips } from '../../../scripts/support/skips.ts';
import {
  KUBERNETES,
  kubernetes,
  type KubernetesMinor,
  USUAL_KUBERNETES,
} from '../../support/tools/kubernetes.ts';
import { playPart, type Row } from '../support/parts.ts';
import { makeWorld, type World } from '../support/world.ts';
import { checkAfterKills, figuresText, killDaemon } from './kills.ts';
import { type Kubelet, startKubelet } from './kubelet.ts';
import { skippedIn, tableText, totals } from './report.ts';
import type { Outcome } from './outcome.ts';
import { type Scenario, scenarios } from './scenarios.ts';
import { type Remains, Stage, tracesOf } from './stage.ts';
import { checkCounter, endAll, lifeOf, startSteady } from './steady.ts';
import { keepHost } from './host.ts';
import { tools } from './tools.ts';

const { values: options } = parseArgs({
  options: {
    version: { type: 'string', default: USUAL_KUBERNETES },
    kills: { type: 'string', default: '20' },
    'kill-every': { type: 'string', default: '5' },
    only: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
});

/** Under kills; more of them at once, and a small machine is busy with starting pods only. */
const SCENARIOS_AT_ONCE = 5;

const chosen = (all: readonly Scenario[]): readonly Scenario[] =>
  all.filter(({ title }) => title.includes(options.only ?? ''));

class Run {
  readonly rows: Row[] = [];
  /** Of every pod that was removed. */
  readonly #remains: Remains[] = [];
  readonly #world: World;
  readonly #kubelet: Kubelet;

  constructor(world: World, kubelet: Kubelet) {
    this.#world = world;
    this.#kubelet = kubelet;
  }

  /** Plays one part and notes how it went. */
  async part(title: string, play: () => Promise<string | undefined>): Promise<void> {
    await playPart(this.rows, title, play);
  }

  /** All at once: so it is on a node, too. */
  async scenarios(all: readonly Scenario[], stage: Stage): Promise<void> {
    await Promise.all(
      all.map(async ({ title, play }) => await this.part(title, async () => this.#noted(await play(stage)))),
    );
  }

  /** In turns, each with a new pod, as long as the daemon is being killed. */
  async scenariosWhile(isOver: () => boolean, all: readonly Scenario[]): Promise<void> {
    const played = new Map<Scenario, number>();
    const failed = new Set<Scenario>();
    const playable = all.filter(({ onlyQuiet }) => onlyQuiet === undefined);
    const startedAt = performance.now();
    let next = 0;
    const worker = async (): Promise<void> => {
      for (;;) {
        const scenario = playable[next % playable.length];
        const round = Math.floor(next / playable.length);
        next += 1;
        if (scenario === undefined || (round > 0 && isOver())) return;
        if (failed.has(scenario)) continue;
        try {
          this.#noted(await scenario.play(new Stage(this.#kubelet, this.#world, round)));
          played.set(scenario, (played.get(scenario) ?? 0) + 1);
        } catch (error) {
          failed.add(scenario);
          await this.part(`${scenario.title}, under kills, pod ${round + 1}`, async () => {
            throw error;
          });
          if (failed.size === playable.length) return;
        }
      }
    };
    await Promise.all(Array.from({ length: SCENARIOS_AT_ONCE }, worker));
    const seconds = (performance.now() - startedAt) / 1000;
    for (const scenario of all) {
      if (failed.has(scenario)) continue;
      const pods = played.get(scenario) ?? 0;
      this.rows.push({
        title: `${scenario.title}, under kills`,
        seconds,
        ...(scenario.onlyQuiet === undefined
          ? { state: 'passed', note: `${pods} pods` }
          : { state: 'skipped', note: scenario.onlyQuiet }),
      });
    }
  }

  #noted(outcome: Outcome): string | undefined {
    this.#remains.push(...outcome.remains);
    return outcome.note;
  }

  async all(): Promise<void> {
    const quiet = new Stage(this.#kubelet, this.#world);
    await this.part('pods that stay are started', async () => {
      await startSteady(quiet);
      return undefined;
    });
    await this.scenarios(chosen(tools), quiet);
    await this.scenarios(chosen(scenarios), quiet);
    await this.underKills(quiet);
    await this.part('all pods are removed', async () => {
      this.#remains.push(...(await endAll(quiet)));
      return undefined;
    });
    await this.part('removed pods have left nothing', async () => await this.#gone(quiet));
  }

  async underKills(stage: Stage): Promise<void> {
    const kills = { count: Number(options.kills), everyMs: Number(options['kill-every']) * 1000 };
    if (kills.count === 0) return;
    const before = await lifeOf(stage);
    let isOver = false;
    await Promise.all([
      this.part(`daemon killed ${kills.count} times, about every ${kills.everyMs / 1000} s`, async () => {
        try {
          return figuresText(await killDaemon(stage, kills));
        } finally {
          isOver = true;
        }
      }),
      this.scenariosWhile(() => isOver, chosen(scenarios)),
    ]);
    const overAtMs = Date.now();
    await this.part(
      'after the kills: nothing restarted, no failure event stays',
      async () => await checkAfterKills(stage, before, overAtMs),
    );
    await this.part('after the kills: the log is whole', async () => await checkCounter(stage));
  }

  /** The kubelet collects sandboxes and dead containers once a minute. */
  async #gone(stage: Stage): Promise<string> {
    await stage.until('no traces of pods', async () => {
      const traces = (
        await Promise.all(
          this.#remains.map(
            async (remains) =>
              await tracesOf(remains, this.#kubelet.cgroupRoot, this.#world.instance.words[0] ?? ''),
          ),
        )
      ).flat();
      const { items } = await this.#world.client.runtime.listPodSandbox({});
      const { containers } = await this.#world.client.runtime.listContainers({});
      const listed = [...items, ...containers].map(({ metadata, id }) => `${metadata?.name ?? ''} ${id}`);
      if (traces.length + listed.length > 0)
        throw new Error(
          `traces: ${traces.slice(0, 5).join(', ')}; listed: ${listed.slice(0, 10).join(', ')}`,
        );
      return true;
    });
    return `${this.#remains.length} pods: processes, cgroups, mounts, network namespaces, sandboxes and containers`;
  }
}

/** Of `--version`. */
function chosenMinor(): KubernetesMinor {
  const { version } = options;
  const isKnown = (name: string): name is KubernetesMinor => Object.hasOwn(KUBERNETES, name);
  if (isKnown(version)) return version;
  throw new Error(`unknown version ${version}; there are: ${Object.keys(KUBERNETES).join(', ')}`);
}

async function main(): Promise<void> {
  const minor = chosenMinor();
  const program = await kubernetes('kubelet', minor);
  const restore = keepHost();
  process.once('exit', restore);
  const world = await makeWorld({ name: 'kube' });
  let kubelet: Kubelet | undefined;
  const close = async (): Promise<void> => {
    await kubelet?.stop();
    await world.close();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void close().finally(() => process.exit(130)));
  try {
    kubelet = await startKubelet(program, world);
    const run = new Run(world, kubelet);
    const started = kubelet;
    await run.all();
    await run.part('the machine is as before', async () => {
      await started.stop();
      const changed = restore();
      const left = await world.leftovers();
      if (left.length > 0) throw new Error(left.join('; '));
      return `sysctls put back: ${changed.join(', ') || 'none was changed'}`;
    });
    const text = tableText(run.rows);
    console.log(`\n${text}\n\nkubelet: ${totals(run.rows)}`);
    if (options.only === undefined) {
      const name = minor === USUAL_KUBERNETES ? 'kubelet' : `kubelet ${minor}`;
      writeFigures(name, `Kubelet ${KUBERNETES[minor]}`, text);
      recordSkips(name, run.rows.length, skippedIn(run.rows));
    }
    if (run.rows.some(({ state }) => state === 'failed')) process.exitCode = 1;
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  } finally {
    if (options.keep) {
      console.log(`kept for inspection: ${world.instance.directory}`);
      // The image registry of the world would hold the process.
      process.exit();
    }
    await close();
  }
}

if (process.getuid?.() === 0) await main();
else {
  console.error('A kubelet makes pods, so it needs root: sudo npm run kubelet');
  process.exitCode = 1;
}
