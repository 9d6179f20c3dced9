/** The charts of all machines, derived from the machines themselves. */
import type { Activity } from '../actors/effects/activity.ts';
import { containerEffects } from '../actors/container/container.effects.ts';
import { containerMachine } from '../actors/container/container.machine.ts';
import { pullEffects } from '../actors/image-pull/image-pull.effects.ts';
import { PullProgress } from '../actors/image-pull/progress.ts';
import { imagePullMachine } from '../actors/image-pull/image-pull.machine.ts';
import type { LayerBook } from '../actors/ledger/layer-book.ts';
import type { Ports } from '../ports/ports.ts';
import { sandboxEffects } from '../actors/sandbox/sandbox.effects.ts';
import type { ContainersOf } from '../actors/sandbox/sandbox.effects.ts';
import { sandboxMachine } from '../actors/sandbox/sandbox.machine.ts';
import { chartOf } from './chart.ts';
import type { Chart } from './chart.ts';

// these machines never run: only their configuration is read, so their effects need no real ports
const ports = {} as Ports;
const activity = {} as Activity;

let drawn: readonly Chart[] | undefined;

/**
 * The charts of the actors that have an address: sandbox, container, image pull. Drawn when first asked for: it takes
 * a tenth of a start's time.
 */
export function troupeCharts(): readonly Chart[] {
  drawn ??= [
    chartOf(sandboxMachine(sandboxEffects(ports, activity, {} as ContainersOf), activity)),
    chartOf(containerMachine(containerEffects(ports, activity), activity)),
    chartOf(
      imagePullMachine(pullEffects(ports, activity, {} as LayerBook, new PullProgress({ monoMs: () => 0 }))),
    ),
  ];
  return drawn;
}
