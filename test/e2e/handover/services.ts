// Control groups as systemd makes them for services: the daemons share their part of the processors with what they
// start, not with their clients.
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { detectCgroups } from '../../../src/host/cgroups/cgroup-layout.ts';
import type { CgroupHierarchy } from '../../../src/host/kernel-thread/thread-protocol.ts';
import { checkout } from '../../support/tools/cache.ts';

/** systemd.resource-control(5): of a unit that sets none. */
const USUAL_WEIGHT = 100;

export interface Services {
  /** Words before a command that runs with the daemons. */
  readonly daemon: readonly [string, ...string[]];
  /** Words before a command that runs beside the clients and the daemons, in the cgroup that this process had. */
  readonly beside: readonly string[];
  /** Of the figures. */
  readonly place: string;
  /** Once nothing runs in them. */
  remove(): void;
}

/** This process and what it starts become a service of the usual weight; the daemons get the weight of the unit. */
export async function makeServices(): Promise<Services> {
  const { hierarchies } = await detectCgroups();
  const processors = hierarchies.find(({ controllers }) => controllers.includes('cpu'));
  if (processors === undefined)
    return {
      daemon: ['setsid'],
      beside: [],
      place: 'The daemons had sessions of their own, and their state was in a tmpfs.',
      remove: () => undefined,
    };
  const unitText = readFileSync(join(checkout, 'deploy/troupe.service'), 'utf8');
  const weight = Number(/^CPUWeight=(\d+)$/mu.exec(unitText)?.[1] ?? USUAL_WEIGHT);
  const home = ownCgroup(processors);
  const unit = makeCgroup(processors, `troupe-handover-${process.pid}.service`, weight);
  const clients = makeCgroup(processors, `troupe-handover-clients-${process.pid}.service`, USUAL_WEIGHT);
  enter(clients);
  return {
    daemon: ['setsid', ...within(unit)],
    beside: within(home),
    place: [
      `The daemons were in one cgroup with the weight of the unit (CPUWeight=${weight}), the clients and their`,
      `sessions in another one of the usual weight (${USUAL_WEIGHT}), and the state was in a tmpfs.`,
    ].join(' '),
    remove: () => {
      enter(home);
      for (const cgroup of [unit, clients]) rmdirSync(cgroup);
    },
  };
}

/** 100 is a weight of 1024 in the first version (cpu.shares), systemd.resource-control(5). */
function makeCgroup({ mountPoint, version }: CgroupHierarchy, name: string, weight: number): string {
  const cgroup = join(mountPoint, name);
  mkdirSync(cgroup);
  if (version === 1) writeFileSync(join(cgroup, 'cpu.shares'), String((weight * 1024) / 100));
  else writeFileSync(join(cgroup, 'cpu.weight'), String(weight));
  return cgroup;
}

/** cgroups(7), /proc/pid/cgroup: `number:controllers:path`, without controllers in the second version. */
function ownCgroup({ mountPoint, version }: CgroupHierarchy): string {
  for (const line of readFileSync('/proc/self/cgroup', 'utf8').split('\n')) {
    const [, names = '', ...path] = line.split(':');
    const isIt = version === 2 ? names === '' : names.split(',').includes('cpu');
    if (isIt && path.length > 0) return join(mountPoint, path.join(':'));
  }
  return mountPoint;
}

function enter(cgroup: string): void {
  writeFileSync(join(cgroup, 'cgroup.procs'), String(process.pid));
}

function within(cgroup: string): readonly string[] {
  return ['/bin/sh', '-c', 'echo $$ > "$0" && exec "$@"', join(cgroup, 'cgroup.procs')];
}
