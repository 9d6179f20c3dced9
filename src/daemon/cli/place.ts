/** Reads the records and the machine of one instance together. */
import { cgroupParentOf, createLayout } from '../../host/sandbox/layout.ts';
import { detectCgroups } from '../../host/cgroups/cgroup-layout.ts';
import type { ClockPort } from '../../ports/clock.ts';
import type { Config } from '../config/config-schema.ts';
import { inspectMachine } from './machine.ts';
import type { Machine, MachinePlace } from './machine.ts';
import { readRecords } from '../wiring/journal-records.ts';
import type { Records } from '../wiring/journal-records.ts';

export interface Inspection {
  readonly place: MachinePlace;
  readonly machine: Machine;
  readonly records: Records;
}

/**
 * Reads the machine first, then the records: an intent is durable before its first effect, so an object that is found
 * first and has no record afterwards belongs to none.
 */
export async function inspectNode(config: Config, clock: ClockPort): Promise<Inspection> {
  const before = await readRecords(config.root);
  const parents = [...before.ledger.sandboxes.values()].map(({ intent }) =>
    cgroupParentOf(intent.spec.cgroupParent),
  );
  const place: MachinePlace = {
    config,
    clock,
    layout: createLayout(config),
    cgroups: await detectCgroups(),
    cgroupParents: [cgroupParentOf(config.cgroup.parent), ...parents],
  };
  const machine = await inspectMachine(place);
  return { place, machine, records: await readRecords(config.root) };
}
