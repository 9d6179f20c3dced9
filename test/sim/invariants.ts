/**
 * The rows I1–I8, I13 and I18 over three views: the records (directory and ledger), the kernel (the
 * twins' state) and the clients' history. `check` is cheap and runs after each step; `checkEmpty` at the very end.
 */
import type { ContainerView, SandboxView } from '../../src/actors/directory/views.ts';
import { pinsOf } from '../../src/actors/recovery/plan.ts';
import type { Ledger } from '../../src/actors/ledger/ledger.ts';
import type { Troupe } from '../../src/actors/troupe.ts';
import { actorLimits } from '../../src/actors/bounds.ts';
import type { Broken } from './broken.ts';
import { checkArchives, checkCheckpoints, leftOfCheckpoints } from './invariant-checkpoints.ts';
import { checkContainers } from './invariant-containers.ts';
import { checkLogs } from './invariant-logs.ts';
import { leftOfSecrets } from './invariant-secrets.ts';
import { Stops } from './invariant-stops.ts';
import type { World } from './world.ts';

/**
 * Virtual milliseconds: a round of the janitor, its scan, and the record of the stop, each of which another that hangs
 * from before the quiet may hold up for the bound of its own effect.
 */
const NOTICED_WITHIN_MS = actorLimits.removeRootfsMs + 3 * actorLimits.janitorMs;

const RANK = { created: 0, running: 1, exited: 2 } as const;

/** Keeps what was seen, since some rows are about change (I5) and about for ever (I8). */
export class Invariants {
  readonly #world: World;
  readonly #containerRank = new Map<string, number>();
  readonly #notReady = new Set<string>();
  /** The instance of the daemon in which a sandbox was last seen ready. */
  readonly #readyIn = new Map<string, number>();
  /** When each was made, according to its status. */
  readonly #madeAtNs = new Map<string, bigint>();
  readonly #exits = new Map<string, number>();
  /** Views of the last check whose rows are about views alone: the directory makes new lists with each change. */
  #checkedSandboxes: readonly SandboxView[] | undefined;
  #checkedContainers: readonly ContainerView[] | undefined;

  readonly #stops: Stops;

  constructor(world: World) {
    this.#world = world;
    this.#stops = new Stops(world);
  }

  /** The first broken row, or undefined. */
  check(): Broken | undefined {
    const { kernel, history, troupe, ledger, isRecovered, events, daemons } = this.#world;
    const [wrong] = kernel.wrongs;
    if (wrong !== undefined) return { invariant: 'I1', detail: wrong };
    const lasting = checkLogs(kernel) ?? checkArchives(this.#world) ?? this.#world.answers.check();
    if (lasting !== undefined) return lasting;
    const handed = daemons?.check();
    if (handed !== undefined) return { invariant: 'F92', detail: handed };
    const [reported] = history.wrongs;
    if (reported !== undefined) return { invariant: reported.split(' ', 1)[0] ?? '', detail: reported };
    if (troupe === undefined || ledger === undefined || !isRecovered) return undefined;
    const untold = events?.check();
    if (untold !== undefined) return { invariant: 'I11', detail: untold };
    const sandboxes = troupe.directory.sandboxes();
    const containers = troupe.directory.containers();
    return (
      this.#structure(sandboxes, containers) ??
      this.#noticed(sandboxes) ??
      checkContainers(this.#world, containers) ??
      checkCheckpoints(this.#world, containers) ??
      this.#limits(containers, ledger) ??
      this.#owners(ledger) ??
      this.#leases() ??
      this.#transitions(sandboxes, containers, ledger) ??
      this.#durability(troupe) ??
      this.#exitFacts(containers, ledger) ??
      this.#stops.check(ledger) ??
      this.#ofViewsAlone(sandboxes, containers)
    );
  }

  /** Rows that cannot change their outcome while the lists are the same. */
  #ofViewsAlone(sandboxes: readonly SandboxView[], containers: readonly ContainerView[]): Broken | undefined {
    if (sandboxes === this.#checkedSandboxes && containers === this.#checkedContainers) return undefined;
    const broken =
      names(sandboxes, containers) ??
      belonging(sandboxes, containers) ??
      this.#creations(sandboxes) ??
      this.#creations(containers);
    if (broken !== undefined) return broken;
    this.#checkedSandboxes = sandboxes;
    this.#checkedContainers = containers;
    return undefined;
  }

  /** I8, F78: what is made later is reported as made later, wherever the wall clock was set. */
  #creations(views: readonly (SandboxView | ContainerView)[]): Broken | undefined {
    const fresh = views.filter(({ id }) => !this.#madeAtNs.has(id));
    for (const { id, createdAtNs } of fresh) {
      const later = views.find((other) => (this.#madeAtNs.get(other.id) ?? -1n) >= createdAtNs);
      if (later !== undefined)
        return {
          invariant: 'I8',
          detail: `${id} was made after ${later.id} and is reported as made before it`,
        };
    }
    for (const { id, createdAtNs } of fresh) this.#madeAtNs.set(id, createdAtNs);
    return undefined;
  }

  /** I1: what a ready sandbox and a living container have. */
  #structure(sandboxes: readonly SandboxView[], containers: readonly ContainerView[]): Broken | undefined {
    const { kernel } = this.#world;
    const broken = (detail: string): Broken => ({ invariant: 'I1', detail });
    for (const { id, spec, ready } of sandboxes) {
      if (!ready || kernel.broken.has(id)) continue;
      if (!kernel.files.has(id) || !kernel.cgroups.has(id))
        return broken(`ready sandbox ${id} has no files or no cgroup`);
      if (pinsOf(spec).some((pin) => kernel.pins.get(id)?.has(pin) !== true))
        return broken(`ready sandbox ${id} has not all its namespaces`);
      let leases = 0;
      for (const owner of kernel.leases.values()) if (owner === id) leases += 1;
      if (leases !== (spec.namespaces.network === 'pod' ? 1 : 0))
        return broken(`ready sandbox ${id} has ${leases} leases`);
      // that there are not two of them is checked below, for all kinds
      const pauses = kernel.processOf('pause', id) === undefined ? 0 : 1;
      if (pauses !== (spec.namespaces.pid === 'pod' || spec.runtime?.needsPause === true ? 1 : 0))
        return broken(`ready sandbox ${id} has ${pauses} pause processes`);
    }
    for (const { id, state } of containers) {
      if ((state === 'created' || state === 'running') && kernel.rootfs.get(id)?.mounted !== true)
        return broken(`container ${id} is ${state} and not mounted`);
    }
    for (const one of kernel.processes.values())
      if (kernel.processOf(one.kind, one.owner) !== one)
        return broken(`two ${one.kind} processes of ${one.owner}`);
    return undefined;
  }

  /** I10: a sandbox that somebody broke is reported as not ready in time, once nothing else goes wrong. */
  #noticed(sandboxes: readonly SandboxView[]): Broken | undefined {
    const { kernel, scheduler, quietSinceMs, servingSinceMs } = this.#world;
    const from = Math.max(quietSinceMs, servingSinceMs);
    for (const { id, ready, path } of sandboxes) {
      const since = kernel.broken.get(id);
      if (since === undefined || !ready || scheduler.nowMs - Math.max(since, from) < NOTICED_WITHIN_MS)
        continue;
      return {
        invariant: 'I10',
        detail: `sandbox ${id} lost a part ${Math.round(scheduler.nowMs - since)} ms ago and is reported as ready (${path})`,
      };
    }
    return undefined;
  }

  /**
   * I10, F09: the limits that status reports are in force, unless an update is at work, has failed, or has no record of
   * its end: the next start goes on with it.
   */
  #limits(containers: readonly ContainerView[], ledger: Ledger): Broken | undefined {
    const { kernel } = this.#world;
    for (const { id, state, spec, updating } of containers) {
      if ((state !== 'created' && state !== 'running') || updating.length > 0 || kernel.limitsUnsure.has(id))
        continue;
      if (ledger.containers.get(id)?.updating !== undefined) continue;
      const inForce = kernel.limits.get(id);
      // its process may have ended, or the machine been restarted, which is reported soon
      if (inForce === undefined || kernel.processOf('init', id) === undefined) continue;
      if (
        inForce.cpuShares !== spec.resources.cpuShares ||
        inForce.memoryLimitBytes !== spec.resources.memoryLimitBytes
      ) {
        return {
          invariant: 'I10',
          detail: `container ${id} is reported with cpu shares ${spec.resources.cpuShares}, memory ${spec.resources.memoryLimitBytes}; in force are ${inForce.cpuShares}, ${inForce.memoryLimitBytes}`,
        };
      }
    }
    return undefined;
  }

  /** I2: each object belongs to a record; the intent is durable before the first effect, the end after the last. */
  #owners(ledger: Ledger): Broken | undefined {
    let detail: string | undefined;
    this.#world.kernel.findObject((kind, owner) => {
      if (ledger.sandboxes.has(owner as never) || ledger.containers.has(owner as never)) return false;
      if (kind === 'rootfs' && this.#world.kernel.unsynced.back.has(owner)) return false;
      detail = `${kind} of ${owner}, which no record knows`;
      return true;
    });
    return detail === undefined ? undefined : { invariant: 'I2', detail };
  }

  /** I3: leases are those of sandboxes with a network, one address for one sandbox. */
  #leases(): Broken | undefined {
    const { kernel } = this.#world;
    if (kernel.leases.size === 0) return undefined;
    const owners = [...kernel.leases.values()];
    const twice = owners.find((owner, at) => owners.indexOf(owner) !== at);
    if (twice !== undefined) return { invariant: 'I3', detail: `two leases of ${twice}` };
    const unkept = owners.find((owner) => !kernel.kept.has(owner));
    return unkept === undefined
      ? undefined
      : { invariant: 'I3', detail: `lease of ${unkept}, whose configuration is not kept` };
  }

  /** I5: created → running → exited, ready → notReady, an id never comes back. */
  #transitions(
    sandboxes: readonly SandboxView[],
    containers: readonly ContainerView[],
    ledger: Ledger,
  ): Broken | undefined {
    const broken = (detail: string): Broken => ({ invariant: 'I5', detail });
    for (const { id, criState, listed, path } of containers) {
      if (!listed) continue;
      const before = this.#containerRank.get(id) ?? 0;
      if (RANK[criState] < before) return broken(`container ${id} went back to ${criState} (${path})`);
      // what the disk refused to record is reported and not promised; it is tried again
      const facts = ledger.containers.get(id);
      const recorded =
        criState === 'created' || (criState === 'running' ? facts?.startedAtNs : facts?.exited) !== undefined;
      if (recorded) this.#containerRank.set(id, RANK[criState]);
    }
    for (const { id, ready, listed, fault, path } of sandboxes) {
      if (ready && this.#notReady.has(id)) return broken(`sandbox ${id} is ready again`);
      const stopping = ledger.sandboxes.get(id)?.stopping === true;
      if (ready) this.#readyIn.set(id, this.#world.scheduler.epoch);
      else {
        const justNow = this.#readyIn.get(id) === this.#world.scheduler.epoch;
        this.#readyIn.delete(id);
        // with a fault: the disk refused the record, and the stop goes on (F21)
        if (justNow && !stopping && fault === undefined)
          return broken(`sandbox ${id} is reported as not ready before that is recorded (${path})`);
      }
      if (listed && !ready && stopping) this.#notReady.add(id);
    }
    // what an instance forgot while it died may come back from the journal; what a client saw as gone may not
    const { removed } = this.#world.history;
    if (removed.size === 0) return undefined;
    const back =
      sandboxes.find(({ id }) => removed.has(id))?.id ?? containers.find(({ id }) => removed.has(id))?.id;
    return back === undefined ? undefined : { invariant: 'I7', detail: `${back} was removed and is present` };
  }

  /** I7: what was answered to a client stands, over every crash. */
  #durability({ directory, findImage, images }: Troupe): Broken | undefined {
    const { history, kernel, ledger } = this.#world;
    const broken = (detail: string): Broken => ({ invariant: 'I7', detail });
    for (const id of history.sandboxes)
      if (directory.sandbox(id as never)?.listed !== true)
        return broken(`sandbox ${id} was handed out and is not present`);
    for (const [id, { sandboxId }] of history.containers) {
      const view = directory.container(id as never);
      if (view?.listed !== true) return broken(`container ${id} was handed out and is not present`);
      if (view.spec.key.sandboxId !== sandboxId)
        return {
          invariant: 'I4',
          detail: `container ${id} of ${view.spec.key.sandboxId} was handed out for ${sandboxId}`,
        };
    }
    // where the disk refused the record and the process has ended meanwhile, a restart reports so once the monitor has
    // written
    const mayForget = (id: string): boolean =>
      ledger?.containers.get(id as never)?.startedAtNs === undefined &&
      kernel.processOf('init', id) === undefined;
    for (const id of history.started)
      if (directory.container(id as never)?.criState === 'created' && !mayForget(id))
        return broken(`container ${id} was started and is created`);
    // its process is gone; where the disk refused the record, a restart reports the end once it is recorded
    for (const id of history.stopped)
      if (
        directory.container(id as never)?.criState !== 'exited' &&
        kernel.processOf('init', id) !== undefined
      )
        return broken(`container ${id} was stopped and has not exited`);
    for (const id of history.stoppedSandboxes)
      if (directory.sandbox(id as never)?.ready === true)
        return broken(`sandbox ${id} was stopped and is ready`);
    for (const [id, shares] of history.limits)
      if (directory.container(id as never)?.spec.resources.cpuShares !== shares)
        return broken(`container ${id} was updated to cpu shares ${shares} and has not got them`);
    const present = history.images.size + history.removedImages.size > 0 ? images() : [];
    for (const id of history.images)
      if (!present.some((image) => image.id === id))
        return broken(`image ${id} was pulled and is not present`);
    if (present.length > 0)
      for (const reference of history.removedImages)
        if (findImage(reference) !== undefined)
          return broken(`image ${reference} was removed and is present`);
    return undefined;
  }

  /** I8: the code that a monitor wrote is reported for ever, and times are in order. */
  #exitFacts(containers: readonly ContainerView[], ledger: Ledger): Broken | undefined {
    const broken = (detail: string): Broken => ({ invariant: 'I8', detail });
    for (const { id, spec, exit, startedAtNs, createdAtNs, cleanupPending, state, path } of containers) {
      if (exit === undefined) continue;
      const recorded = ledger.containers.get(id)?.exited !== undefined;
      if (!recorded && !cleanupPending && state !== 'removing' && state !== 'recordingExit')
        return broken(`the exit of container ${id} is reported and not recorded (${path})`);
      // a full or broken disk refused the record: reported all the same (F21), and promised to nobody
      if (!recorded) continue;
      // a removal under way has deleted the exit file, and the disk refused the record before
      if (this.#world.history.isUnwanted(id, spec.key.sandboxId)) continue;
      const before = this.#exits.get(id) ?? exit.exitCode;
      this.#exits.set(id, exit.exitCode);
      if (before !== exit.exitCode)
        return broken(`container ${id} had exit code ${before} and has ${exit.exitCode}`);
      const truth = this.#world.kernel.trueExits.get(id);
      // a start that failed is reported as such, whatever the kill that followed it left
      if (truth !== undefined && exit.reason !== 'StartError' && truth.exitCode !== exit.exitCode) {
        return broken(
          `container ${id} ended with ${truth.exitCode}, reported is ${exit.exitCode} (${exit.reason}: ${exit.message})`,
        );
      }
      // OOMKilled iff the kernel counted it; an end that nobody witnessed says nothing
      if (
        truth !== undefined &&
        exit.reason !== 'StartError' &&
        (truth.oomKilled !== exit.oomKilled || truth.oomKilled !== (exit.reason === 'OOMKilled'))
      ) {
        return broken(
          `container ${id} was ${truth.oomKilled ? '' : 'not '}killed for want of memory, reported is ${exit.reason}`,
        );
      }
      const started = startedAtNs ?? createdAtNs;
      if (started < createdAtNs || exit.finishedAtNs < started) {
        return broken(
          `container ${id}: created ${createdAtNs}, started ${started}, finished ${exit.finishedAtNs}`,
        );
      }
    }
    return undefined;
  }

  /** After everything was removed: nothing is left anywhere, and every actor is at rest (I2, I18). */
  checkEmpty(): Broken | undefined {
    const { troupe, ledger, kernel } = this.#world;
    if (troupe === undefined || ledger === undefined)
      return { invariant: 'I18', detail: 'the daemon is not there' };
    const unsettled = this.#world.daemons?.checkSettled();
    if (unsettled !== undefined) return { invariant: 'F92', detail: unsettled };
    const [view] = [
      ...troupe.directory.sandboxes(),
      ...troupe.directory.containers(),
      ...troupe.directory.pulls(),
    ];
    if (view !== undefined)
      return {
        invariant: 'I18',
        detail: `${view.address} is still there: ${view.path} ${view.fault?.message ?? ''}`,
      };
    const [object] = kernel.objects();
    if (object !== undefined) return { invariant: 'I2', detail: `${object.kind} of ${object.owner} is left` };
    if (ledger.sandboxes.size + ledger.containers.size + ledger.images.size + ledger.fetching.size > 0)
      return { invariant: 'I2', detail: 'records are left' };
    const [ingest] = kernel.ingests.keys();
    if (ingest !== undefined) return { invariant: 'I15', detail: `bytes of the blob ${ingest} are left` };
    const checkpoint = leftOfCheckpoints(this.#world) ?? leftOfSecrets(this.#world);
    if (checkpoint !== undefined) return checkpoint;
    const layers = [...kernel.layers, ...kernel.partials];
    return layers.length === 0
      ? undefined
      : { invariant: 'I2', detail: `layers are left: ${layers.join(' ')}` };
  }
}

/**
 * I4: one owner for a name. What could not be undone has given it up, also while its undo is tried again, unless a
 * start would bring it back.
 */
function names(sandboxes: readonly SandboxView[], containers: readonly ContainerView[]): Broken | undefined {
  const seen = new Set<string>();
  for (const { spec, state, committed } of [...sandboxes, ...containers]) {
    if (!committed && (state === 'cleanupPending' || state === 'unwinding')) continue;
    const name = nameOf(spec.key);
    if (seen.has(name)) return { invariant: 'I4', detail: `two owners of ${name}` };
    seen.add(name);
  }
  return undefined;
}

/** Written once: after each step all names are compared. */
const written = new WeakMap<object, string>();

function nameOf(key: object): string {
  const name = written.get(key) ?? JSON.stringify(key);
  written.set(key, name);
  return name;
}

/** I6: no container without its sandbox. */
function belonging(
  sandboxes: readonly SandboxView[],
  containers: readonly ContainerView[],
): Broken | undefined {
  const ids = new Set<string>(sandboxes.map((view) => view.id));
  const orphan = containers.find((view) => !ids.has(view.spec.key.sandboxId));
  return orphan === undefined
    ? undefined
    : { invariant: 'I6', detail: `container ${orphan.id} (${orphan.path}) has no sandbox` };
}
