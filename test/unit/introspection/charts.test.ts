// The page draws the charts and `troupe why` names states: both must be the machines' own.
import { describe, expect, it } from 'vitest';
import { troupeCharts } from '../../../src/introspection/charts.ts';
import { readdirSync } from 'node:fs';
import type { Activity } from '../../../src/actors/effects/activity.ts';
import { containerEffects } from '../../../src/actors/container/container.effects.ts';
import { containerMachine } from '../../../src/actors/container/container.machine.ts';
import { pullEffects } from '../../../src/actors/image-pull/image-pull.effects.ts';
import { PullProgress } from '../../../src/actors/image-pull/progress.ts';
import { imagePullMachine } from '../../../src/actors/image-pull/image-pull.machine.ts';
import type { LayerBook } from '../../../src/actors/ledger/layer-book.ts';
import type { Ports } from '../../../src/ports/ports.ts';
import { sandboxEffects } from '../../../src/actors/sandbox/sandbox.effects.ts';
import type { ContainersOf } from '../../../src/actors/sandbox/sandbox.effects.ts';
import { sandboxMachine } from '../../../src/actors/sandbox/sandbox.machine.ts';

// never run: only their configs are read
const [ports, activity] = [{} as Ports, {} as Activity];
const machines = [
  sandboxMachine(sandboxEffects(ports, activity, {} as ContainersOf), activity),
  containerMachine(containerEffects(ports, activity), activity),
  imagePullMachine(pullEffects(ports, activity, {} as LayerBook, new PullProgress({ monoMs: () => 0 }))),
];

/** What of a config this test reads; read here by hand, since the charts are read through xstate's own nodes. */
interface StateConfig {
  readonly states?: Readonly<Record<string, StateConfig>>;
  readonly invoke?: Invoke | readonly Invoke[];
}
interface Invoke {
  readonly src?: unknown;
}

const pathsOf = (config: StateConfig, around = ''): string[] =>
  Object.entries(config.states ?? {}).flatMap(([name, state]) => [
    `${around}${name}`,
    ...pathsOf(state, `${around}${name}.`),
  ]);

const effectsOf = (config: StateConfig): string[] => [
  ...[config.invoke ?? []].flat().map(({ src }: Invoke) => String(src)),
  ...Object.values(config.states ?? {}).flatMap(effectsOf),
];

const charts = new Map(troupeCharts().map((chart) => [chart.id, chart]));

describe('charts', () => {
  it('exist for every machine with an address', () => {
    const folders = readdirSync(new URL('../../../src/actors', import.meta.url), {
      recursive: true,
      encoding: 'utf8',
    })
      .filter((file) => file.endsWith('.machine.ts'))
      .map((file) => file.replace(/^.*\//u, '').replace('.machine.ts', ''));
    // the root, the janitor and the collector have no address: nobody asks for them by name
    expect([...charts.keys()].toSorted()).toEqual(
      folders.filter((name) => !['root', 'janitor', 'collector'].includes(name)).toSorted(),
    );
  });

  it.each(machines.map((machine) => [machine.id, machine] as const))(
    '%s: names every state of its config, and nothing else',
    (id, machine) => {
      const paths = charts.get(id)?.states.map(({ path }) => path) ?? [];
      expect(paths.toSorted()).toEqual(pathsOf(machine.config as StateConfig).toSorted());
      expect(paths.length).toBeGreaterThan(3);
    },
  );

  it.each(machines.map((machine) => [machine.id, machine] as const))(
    '%s: names every effect that its config invokes',
    (id, machine) => {
      const effects = charts.get(id)?.states.flatMap((state) => state.effects) ?? [];
      expect(effects.toSorted()).toEqual(effectsOf(machine.config as StateConfig).toSorted());
      expect(effects).not.toContain('');
    },
  );

  it.each([...charts.values()].map((chart) => [chart.id, chart] as const))(
    '%s: arrows begin and end at states, parents are states, each compound has one first state',
    (_id, chart) => {
      const paths = new Set(['', ...chart.states.map(({ path }) => path)]);
      for (const { from, to } of chart.arrows) expect(paths.has(from) && paths.has(to)).toBe(true);
      for (const { path, type, parent } of chart.states) {
        expect(paths.has(parent)).toBe(true);
        const first = chart.states.filter((state) => state.parent === path && state.initial);
        if (type === 'compound') expect([path, first.length]).toEqual([path, 1]);
      }
    },
  );
});
