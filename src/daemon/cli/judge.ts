/**
 * Checks the invariants of docs/rows.md over records, machine and, if a daemon runs, its actors. Pure: the same input
 * gives the same findings. Actors between two settled states are not judged. What a record names is never a leak, since
 * its actor (or the next start) undoes it.
 */
import { basename } from 'node:path';
import type { ContainerFacts, SandboxFacts } from '../../actors/ledger/ledger.ts';
import type { ContainerState, SandboxState } from '../../actors/directory/states.ts';
import type { Digest, SandboxOrContainerId } from '../../base/ids.ts';
import { containerCgroup, hasSandboxCgroup, sandboxCgroup } from '../../host/sandbox/layout.ts';
import { ingestedDigest } from '../../oci/images/registry/ingest.ts';
import type { Finding, Invariant, Leak } from './findings.ts';
import { mayLive } from './machine.ts';
import type { Machine } from './machine.ts';
import type { Records } from '../wiring/journal-records.ts';

/** What the running daemon reports about one actor. */
export interface LiveActor {
  readonly state: string;
  readonly settled: boolean;
}

export interface NodeEvidence {
  readonly records: Records;
  readonly machine: Machine;
  /** By id; undefined if no daemon runs: then nothing counts as missing, since the next start restores it. */
  readonly live: { readonly actors: ReadonlyMap<string, LiveActor>; readonly pulls: number } | undefined;
}

/** All findings, in the order of the invariants. */
export function judge(evidence: NodeEvidence): readonly Finding[] {
  const found = [
    ...damagedJournal(evidence),
    ...missingOfSandboxes(evidence),
    ...missingOfContainers(evidence),
    ...leaks(evidence),
    ...network(evidence),
    ...names(evidence),
    ...orders(evidence),
    ...images(evidence),
  ];
  return found.toSorted((a, b) => Number(a.invariant.slice(1)) - Number(b.invariant.slice(1)));
}

function finding(invariant: Invariant, object: string, id: string, message: string, leak?: Leak): Finding {
  return { invariant, object, id, message, ...(leak === undefined ? {} : { leak }) };
}

function damagedJournal({ records }: NodeEvidence): readonly Finding[] {
  if (records.end !== 'damaged') return [];
  return [
    finding('I5', 'journal', '', 'the journal is damaged: what was recorded after the damage is not known'),
  ];
}

/** True if the daemon runs and this actor is settled in one of these states. */
function rests(
  { live }: NodeEvidence,
  id: string,
  states: readonly (SandboxState | ContainerState)[],
): boolean {
  const actor = live?.actors.get(id);
  return actor !== undefined && actor.settled && states.some((state) => state === actor.state);
}

/** I1: a ready sandbox has its pins, cgroup, network, files and pause process. */
function missingOfSandboxes(evidence: NodeEvidence): readonly Finding[] {
  const { records, machine } = evidence;
  const cgroups = new Set(machine.cgroups.map(({ path }) => path));
  const entries = new Set(machine.entries.map(({ kind, id }) => `${kind} ${id ?? ''}`));
  return [...records.ledger.sandboxes.values()].flatMap((facts) => {
    const { id, spec } = facts.intent;
    if (!rests(evidence, id, ['ready']) || facts.stopping) return [];
    const missing: string[] = [];
    if (spec.namespaces.network === 'pod') {
      for (const kind of ['net', 'uts'])
        if (!machine.pins.has(`${id}/${kind}`)) missing.push(`its ${kind} namespace is not pinned`);
      if (!machine.attachments.includes(id)) missing.push('no attachment is kept for its CNI DEL');
    }
    if (spec.namespaces.ipc === 'pod' && !machine.pins.has(`${id}/ipc`))
      missing.push('its ipc namespace is not pinned');
    if (spec.namespaces.user !== undefined && !machine.pins.has(`${id}/user`))
      missing.push('its user namespace is not pinned');
    if (hasSandboxCgroup(spec.cgroupParent) && !cgroups.has(sandboxCgroup(spec.cgroupParent, id)))
      missing.push('its cgroup is gone');
    if (!entries.has(`sandbox files ${id}`)) missing.push('its files are gone');
    const pause = facts.ready?.pause;
    if (pause !== undefined && !isAlive(machine, pause))
      missing.push(`its pause process ${pause.pid} is gone`);
    return missing.map((what) => finding('I1', nameOf(facts), id, what));
  });
}

function nameOf({ intent }: SandboxFacts): string {
  return `pod ${intent.spec.key.namespace}/${intent.spec.key.name}`;
}

function isAlive(
  machine: Machine,
  who: { readonly pid: number; readonly startTicks: bigint; readonly bootId: string },
): boolean {
  const { bootId, pid, startTicks } = who;
  return bootId === machine.bootId && mayLive(machine.startTicks, { pid, startTicks: Number(startTicks) });
}

/** I1, I10: one init, one monitor and a mounted root file system while created or running; none of them afterwards. */
function missingOfContainers(evidence: NodeEvidence): readonly Finding[] {
  const { records } = evidence;
  return [...records.ledger.containers.values()].flatMap((facts) => {
    const { id } = facts.intent;
    if (rests(evidence, id, ['running', 'created'])) return ofLiveContainer(evidence, facts);
    if (rests(evidence, id, ['exited'])) return ofEndedContainer(evidence, facts);
    return [];
  });
}

function ofLiveContainer({ machine }: NodeEvidence, facts: ContainerFacts): readonly Finding[] {
  const { id, spec } = facts.intent;
  const object = `container ${spec.key.name}`;
  const found: Finding[] = [];
  const init = facts.created?.init;
  const monitors = machine.processes.filter((process) => process.id === id && process.role === 'monitor');
  if (init === undefined || !isAlive(machine, init)) {
    found.push(
      finding('I10', object, id, `it is reported alive, but its process ${init?.pid ?? 'on record'} is not`),
    );
  }
  if (monitors.length !== 1) found.push(finding('I1', object, id, `it has ${monitors.length} monitors`));
  const mounts = rootfsMounts(machine, id);
  if (mounts !== 1) found.push(finding('I1', object, id, `its root file system is mounted ${mounts} times`));
  return found;
}

function ofEndedContainer({ machine, records }: NodeEvidence, facts: ContainerFacts): readonly Finding[] {
  const { id, spec } = facts.intent;
  const object = `container ${spec.key.name}`;
  const found: Finding[] = [];
  if (rootfsMounts(machine, id) > 0)
    found.push(finding('I1', object, id, 'it has ended, its root file system is still mounted'));
  if (machine.mounts.some((mount) => mount.path.includes(`/containers/${id}/volumes/`)))
    found.push(finding('I1', object, id, 'it has ended, an image that it had as a volume is still mounted'));
  const parent = records.ledger.sandboxes.get(spec.key.sandboxId)?.intent.spec.cgroupParent ?? '';
  const cgroup = machine.cgroups.some(({ path }) => containerCgroup(parent, id).startsWith(path));
  const left = machine.processes.filter((process) => process.id === id);
  for (const { pid, name } of left)
    found.push(
      finding(
        'I10',
        `process ${pid}`,
        id,
        `${object} has ended, its process ${pid} (${name}) lives${cgroup ? ' in its cgroup' : ''}`,
      ),
    );
  return found;
}

function rootfsMounts(machine: Machine, id: string): number {
  return machine.mounts.filter((mount) => mount.id === id && mount.path.endsWith(`/containers/${id}/rootfs`))
    .length;
}

/** I2: everything with this instance's mark belongs to a record. */
function leaks({ machine, records, live }: NodeEvidence): readonly Finding[] {
  const { sandboxes, containers } = records.ledger;
  const ids = new Set<string>([...sandboxes.keys(), ...containers.keys(), ...(live?.actors.keys() ?? [])]);
  const isOwned = (id: SandboxOrContainerId | undefined): boolean => id !== undefined && ids.has(id);
  const of = (id: SandboxOrContainerId | undefined): string => (id === undefined ? '' : ` of ${id}`);
  const nobody = 'belongs to no record';
  const entryLeak = (entry: Machine['entries'][number]): Leak | undefined => {
    if (entry.id === undefined) return undefined;
    return entry.kind === 'namespace pins'
      ? { kind: 'pins', path: entry.path }
      : { kind: 'files', path: entry.path };
  };
  return [
    ...machine.processes
      .filter(({ id }) => !isOwned(id))
      .map((process) =>
        finding(
          'I2',
          `process ${process.pid}`,
          process.id,
          `${process.role} ${process.name}${of(process.id)} ${nobody}`,
          { kind: 'process', process },
        ),
      ),
    ...machine.cgroups
      .filter(({ id }) => !isOwned(id))
      .map((cgroup) =>
        finding('I2', `cgroup ${cgroup.path}`, cgroup.id, `the cgroup ${nobody}`, { kind: 'cgroup', cgroup }),
      ),
    ...machine.mounts
      .filter(({ id, isLayer, isGofers }) => isLayer !== true && isGofers !== true && !isOwned(id))
      .map(({ path, id }) =>
        finding(
          'I2',
          `mount ${path}`,
          id ?? '',
          `the mount ${nobody}`,
          id === undefined ? undefined : { kind: 'mount', path },
        ),
      ),
    ...machine.entries
      .filter(({ id }) => !isOwned(id))
      .map((entry) =>
        finding('I2', entry.path, entry.id ?? '', `this ${entry.kind} ${nobody}`, entryLeak(entry)),
      ),
  ];
}

/** I3: pending DELs, leases and rules belong to sandboxes; no address is on two pods. */
function network(evidence: NodeEvidence): readonly Finding[] {
  const { machine, records } = evidence;
  const { sandboxes } = records.ledger;
  const found: Finding[] = [];
  for (const id of machine.attachments) {
    if (!sandboxes.has(id))
      found.push(
        finding('I3', `attachment ${id}`, id, 'a CNI DEL is pending for a sandbox without a record', {
          kind: 'attachment',
          id,
        }),
      );
  }
  for (const { path, id, isOwn } of machine.leases) {
    if (id !== undefined && sandboxes.has(id)) continue;
    const whose = isOwn ? '' : ' of this instance; perhaps of another runtime on this network';
    found.push(
      finding(
        'I3',
        `lease ${path}`,
        id ?? '',
        `the address is leased to a sandbox without a record${whose}`,
        isOwn ? { kind: 'files', path } : undefined,
      ),
    );
  }
  for (const rule of machine.rules) {
    if (sandboxes.has(rule.id)) continue;
    const object = `IPv${rule.family} rules of ${rule.network}`;
    found.push(
      finding('I3', object, rule.id, `rules name sandbox ${rule.id}, which has no record`, {
        kind: 'rules',
        rule,
      }),
    );
  }
  return [...found, ...missingMasquerades(evidence), ...addresses(evidence)];
}

/** One finding for each family, not for each pod: they lack the same rule. */
function missingMasquerades(evidence: NodeEvidence): readonly Finding[] {
  const { masqueraded, masquerades } = evidence.machine;
  const { sandboxes } = evidence.records.ledger;
  const needed = masqueraded.flatMap((id) => {
    const facts = sandboxes.get(id);
    const isReady = facts !== undefined && !facts.stopping && rests(evidence, id, ['ready']);
    return isReady ? (facts.ready?.ips ?? []).map((ip) => (ip.includes(':') ? 6 : 4)) : [];
  });
  const made = new Set(masquerades.flatMap(({ rule, isWhole }) => (isWhole ? [rule.family] : [])));
  return [...new Set(needed)]
    .filter((family) => !made.has(family))
    .map((family) => {
      const message = 'it is missing, so pods reach nothing outside of the node';
      return finding('I3', `IPv${family} masquerade rule`, '', message);
    });
}

function addresses(evidence: NodeEvidence): readonly Finding[] {
  const { machine, records } = evidence;
  const found: Finding[] = [];
  const leased = new Map(machine.leases.map((lease) => [lease.ip, lease]));
  const holders = new Map<string, string>();
  for (const facts of records.ledger.sandboxes.values()) {
    const { id, spec } = facts.intent;
    if (facts.ready === undefined || facts.stopping || spec.namespaces.network !== 'pod') continue;
    for (const ip of facts.ready.ips) {
      const other = holders.get(ip);
      if (other !== undefined)
        found.push(finding('I3', `address ${ip}`, id, `${nameOf(facts)} and sandbox ${other} both have it`));
      holders.set(ip, id);
      const lease = leased.get(ip);
      if (lease !== undefined && lease.id !== id)
        found.push(
          finding(
            'I3',
            `address ${ip}`,
            id,
            `${nameOf(facts)} has it, but ${lease.path} leases it to ${lease.id ?? 'nobody'}`,
          ),
        );
    }
  }
  return found;
}

/** I4, I6: names are unique, and no container is without its sandbox. */
function names({ records }: NodeEvidence): readonly Finding[] {
  const found: Finding[] = [];
  const taken = new Map<string, string>();
  const claim = (name: string, id: string): void => {
    const other = taken.get(name);
    if (other !== undefined) found.push(finding('I4', name, id, `${id} and ${other} both have this name`));
    taken.set(name, id);
  };
  for (const { intent, ready, stopping } of records.ledger.sandboxes.values()) {
    const { namespace, name, uid, attempt } = intent.spec.key;
    if (ready !== undefined && !stopping) claim(`pod ${namespace}/${name} ${uid} #${attempt}`, intent.id);
  }
  for (const { intent, created, exited } of records.ledger.containers.values()) {
    const { sandboxId, name, attempt } = intent.spec.key;
    if (created !== undefined && exited === undefined)
      claim(`container ${name} #${attempt} of ${sandboxId}`, intent.id);
    if (!records.ledger.sandboxes.has(sandboxId))
      found.push(finding('I6', `container ${name}`, intent.id, `its sandbox ${sandboxId} has no record`));
  }
  return found;
}

/** I5, I8: states and times are in order. */
function orders(evidence: NodeEvidence): readonly Finding[] {
  return [...evidence.records.ledger.containers.values()].flatMap((facts) => {
    const { intent, created, startedAtNs, exited } = facts;
    const object = `container ${intent.spec.key.name}`;
    const found: Finding[] = [];
    if (startedAtNs !== undefined && created === undefined)
      found.push(finding('I5', object, intent.id, 'it was started, but never created'));
    if (exited !== undefined && rests(evidence, intent.id, ['created', 'running']))
      found.push(finding('I5', object, intent.id, 'it has ended on record, but is reported alive'));
    if (startedAtNs !== undefined && startedAtNs < intent.createdAtNs)
      found.push(finding('I8', object, intent.id, 'it was started before it was created'));
    const begun = startedAtNs ?? intent.createdAtNs;
    if (exited !== undefined && exited.exit.finishedAtNs < begun)
      found.push(finding('I8', object, intent.id, 'it ended before it began'));
    return found;
  });
}

/** I14, I15: every image is complete; unused layers are deleted, and no partial download exists without a pull. */
function images({ records, machine, live }: NodeEvidence): readonly Finding[] {
  const found: Finding[] = [];
  const whole = new Set(machine.layers.filter((layer) => layer.isWhole).map(({ diffId }) => diffId));
  const used = new Set<Digest>();
  for (const image of records.ledger.images.values()) {
    for (const { diffId } of image.layers) {
      used.add(diffId);
      if (!whole.has(diffId))
        found.push(
          finding(
            'I14',
            `image ${image.repoTags[0] ?? image.id}`,
            image.id,
            `its layer ${diffId} is missing or incomplete; pull the image again`,
          ),
        );
    }
  }
  for (const { intent } of records.ledger.containers.values())
    for (const diffId of intent.image.layers) used.add(diffId);
  // kept for some minutes, so that an interrupted pull can resume
  for (const { layers } of records.ledger.fetching.values())
    for (const { diffId } of layers) used.add(diffId);
  // a pull's layers have no record before the image is complete; the next start deletes those of a stopped daemon
  if (live === undefined || live.pulls > 0) return found;
  // not repairable: the daemon knows these layers and may be about to use one
  for (const { diffId, isForeign } of machine.layers) {
    if (isForeign !== true && !used.has(diffId))
      found.push(finding('I15', `layer ${diffId}`, '', 'no image and no container uses it'));
  }
  for (const path of machine.partials)
    found.push(finding('I15', path, '', 'a half unpacked layer that no pull works on'));
  const wanted = new Set(
    [...records.ledger.fetching.values()].flatMap(({ layers }) => layers.map(({ digest }) => digest)),
  );
  for (const path of machine.ingests) {
    const digest = ingestedDigest(basename(path));
    if (digest === undefined || !wanted.has(digest))
      found.push(finding('I15', path, '', 'bytes of a layer that no pull waits for'));
  }
  for (const path of machine.trash)
    found.push(finding('I15', path, '', 'deleted, but its files are still there'));
  return found;
}
