/** One instance's places, and one look at its records and its machine together. */
import { cgroupParentOf, createLayout } from '../../host/sandbox/layout.ts';
import { detectCgroups } from '../../host/cgroups/cgroup-layout.ts';
import type { ClockPort } from '../../ports/clock.ts';
import type { Config } from '../config/config-schema.ts';
import { lookAtMachine } from './machine.ts';
import type { Machine, Place } from './machine.ts';
import { readRecords } from '../wiring/journal-records.ts';
import type { Records } from '../wiring/journal-records.ts';

export interface Look {
  readonly place: Place;
  readonly machine: Machine;
  readonly records: Records;
}

/**
 * Looks at the machine, then at the records: an intent is durable before its first effect, so what is seen first and
 * has no record then has none at all.
 */
export async function lookAround(config: Config, clock: ClockPort): Promise<Look> {
  const before = await readRecords(config.root);
  const parents = [...before.ledger.sandboxes.values()].map(({ intent }) =>
    cgroupParentOf(intent.spec.cgroupParent),
  );
  const place: Place = {
    config,
    clock,
    layout: createLayout(config),
    cgroups: await detectCgroups(),
    cgroupParents: [cgroupParentOf(config.cgroup.parent), ...parents],
  };
  const machine = await lookAtMachine(place);
  return { place, machine, records: await readRecords(config.root) };
}
