/** Runtime and monitor over the simulated kernel. The watch belongs to one life of the daemon, monitors do not. */
import type { ExitFact, ProcessIdentity } from '../../src/actors/ports/journal.ts';
import type { RuntimeFacts, RuntimePort } from '../../src/actors/ports/runtime.ts';
import type { Resources } from '../../src/actors/ports/specs.ts';
import { fail } from '../../src/base/fault.ts';
import type { ContainerId, SandboxId } from '../../src/base/ids.ts';
import { exitFact } from './kernel.ts';
import type { Kernel } from './kernel.ts';
import type { Outside } from './outside.ts';

type Listener = (id: ContainerId, exit: ExitFact) => void;

/** The port in the life `epoch`. */
export function runtimeTwin(kernel: Kernel, outside: Outside, epoch: number): RuntimePort {
  const witness = new Witness(kernel, outside, epoch);
  kernel.onExit = (id) => witness.tell(id as ContainerId);
  return { ...ofContainers(kernel, outside, epoch, witness), ...ofPauses(kernel, outside, epoch), ...looks(kernel, outside, epoch, witness) };
}

/** Tells exits at least once, and often twice: by the exit file and by the end of the process. */
class Witness {
  readonly #kernel: Kernel;
  readonly #outside: Outside;
  readonly #epoch: number;
  readonly #watched = new Set<string>();
  #listener: Listener = () => undefined;

  constructor(kernel: Kernel, outside: Outside, epoch: number) {
    this.#kernel = kernel;
    this.#outside = outside;
    this.#epoch = epoch;
  }

  listen(listener: Listener): void {
    this.#listener = listener;
    for (const id of this.#kernel.exitFiles.keys()) this.tell(id as ContainerId);
  }

  watch(id: ContainerId, init: ProcessIdentity): void {
    if (this.#watched.has(id)) return;
    this.#watched.add(id);
    if (!this.#kernel.lives(init) && this.#kernel.processOf('monitor', id) === undefined) this.tell(id);
  }

  tell(id: ContainerId): void {
    const { scheduler } = this.#outside;
    scheduler.add(this.#epoch, `exit of ${id.slice(0, 6)} is seen`, () => {
      // the file is read, the event alone is never trusted
      const file = this.#kernel.exitFiles.get(id);
      if (file !== undefined) this.#listener(id, file);
      else if (this.#watched.has(id) && this.#kernel.processOf('init', id) === undefined && this.#kernel.processOf('monitor', id) === undefined) {
        this.#listener(id, exitFact(255, scheduler.nowNs(), 'process'));
      }
    });
  }
}

type OfContainers = Pick<
  RuntimePort,
  'writeBundle' | 'create' | 'start' | 'update' | 'kill' | 'killAll' | 'delete' | 'destroy' | 'readExit' | 'forgetExit' | 'reopenLog' | 'execSync' | 'watch'
>;

function ofContainers(kernel: Kernel, outside: Outside, epoch: number, witness: Witness): OfContainers {
  const call = outside.life(epoch);
  const done = (): void => undefined;
  return {
    writeBundle: ({ id, sandboxId }, fx) =>
      call('runtime.writeBundle', fx, [() => writeBundle(kernel, id, sandboxId)], () => ({
        uid: 0, gid: 0, supplementalGroups: [], stopSignal: 'SIGTERM', logPath: '',
      })),
    create: ({ id, spec }, fx) => {
      let init: ProcessIdentity | undefined;
      const parts = [
        () => {
          if (!kernel.bundles.has(id)) kernel.wrongs.push(`create of ${id} without a bundle`);
          if (kernel.processOf('monitor', id) !== undefined) kernel.wrongs.push(`a second monitor of ${id}`);
          kernel.spawn('monitor', id);
        },
        () => kernel.limits.set(id, spec.resources),
        () => kernel.runtimeStates.set(id, 'created'),
        () => {
          init = kernel.spawn('init', id);
        },
      ];
      return call('runtime.create', fx, parts, () => init ?? fail('bug', 'create without a process'));
    },
    start: ({ id }, fx) => call('runtime.start', fx, [() => start(kernel, id)], done),
    update: (input, fx) => update(kernel, input, (parts) => call('runtime.update', fx, parts, done)),
    kill: ({ id, init }, fx) => call('runtime.kill', fx, [() => kernel.terminate(id, init)], done),
    killAll: ({ id }, fx) => call('runtime.killAll', fx, [() => void kernel.killHard(id)], done),
    delete: ({ id }, fx) => call('runtime.delete', fx, [() => deleteState(kernel, id)], done),
    destroy: ({ id }, fx) => call('runtime.destroy', fx, destroyParts(kernel, id), done),
    readExit: ({ id }, fx) => call('runtime.readExit', fx, [], () => kernel.exitFiles.get(id)),
    forgetExit: ({ id }, fx) => call('runtime.forgetExit', fx, [() => kernel.exitFiles.delete(id)], done),
    watch: ({ id, init }) => witness.watch(id, init),
    reopenLog: (_input, fx) => call('runtime.reopenLog', fx, [], done),
    execSync: (_input, fx) =>
      call('runtime.execSync', fx, [], () => ({ exitCode: 0, stdout: new Uint8Array(0), stderr: new Uint8Array(0) })),
  };
}

function writeBundle(kernel: Kernel, id: ContainerId, sandboxId: SandboxId): void {
  if (kernel.rootfs.get(id)?.mounted !== true) kernel.wrongs.push(`bundle of ${id} without a root file system`);
  if (!kernel.files.has(sandboxId)) kernel.wrongs.push(`bundle of ${id} in sandbox ${sandboxId}, which has no files`);
  kernel.bundles.add(id);
}

function start(kernel: Kernel, id: ContainerId): void {
  if (kernel.processOf('init', id) === undefined) fail('outside', `runc start ${id}: the process is gone`);
  if (kernel.runtimeStates.get(id) === 'running') kernel.wrongs.push(`a second start of ${id}`);
  kernel.runtimeStates.set(id, 'running');
  kernel.startProgram(id);
}

/** Two files, one after the other; what a failed update leaves is any part of it. */
function update(
  kernel: Kernel,
  { id, resources }: { readonly id: ContainerId; readonly resources: Resources },
  call: (parts: (() => void)[]) => Promise<void>,
): Promise<void> {
  const set = (change: (old: Resources) => Resources) => (): void => {
    const old = kernel.limits.get(id) ?? fail('outside', `runc update ${id}: no such cgroup`);
    kernel.limits.set(id, change(old));
  };
  const result = call([
    set((old) => ({ ...old, cpuShares: resources.cpuShares })),
    set(() => resources),
  ]);
  return result.then(
    () => void kernel.limitsUnsure.delete(id),
    (thrown: unknown) => {
      kernel.limitsUnsure.add(id);
      throw thrown;
    },
  );
}

function deleteState(kernel: Kernel, id: ContainerId): void {
  if (kernel.processOf('init', id) !== undefined) fail('outside', `runc delete ${id}: it is not stopped`);
  kernel.runtimeStates.delete(id);
}

function destroyParts(kernel: Kernel, id: ContainerId): (() => void)[] {
  return [
    () => {
      if (isStuck(kernel, id)) fail('outside', `destroy ${id}: its process does not end`);
    },
    () => kernel.kill('monitor', id),
    () => kernel.kill('init', id),
    () => kernel.runtimeStates.delete(id),
    () => kernel.limits.delete(id),
    () => kernel.bundles.delete(id),
    () => kernel.exitFiles.delete(id),
  ];
}

function isStuck(kernel: Kernel, id: ContainerId): boolean {
  return kernel.isStuck(id) && !kernel.killHard(id);
}

function ofPauses(kernel: Kernel, outside: Outside, epoch: number): Pick<RuntimePort, 'startPause' | 'destroyPause'> {
  const call = outside.life(epoch);
  return {
    startPause: ({ id }, fx) => {
      let pause: ProcessIdentity | undefined;
      const spawn = (): void => {
        if (kernel.processOf('pause', id) !== undefined) kernel.wrongs.push(`a second pause process of ${id}`);
        pause = kernel.spawn('pause', id);
      };
      return call('runtime.startPause', fx, [() => kernel.pauseBundles.add(id), spawn], () => pause ?? fail('bug', 'no pause process'));
    },
    destroyPause: ({ id }, fx) =>
      call('runtime.destroyPause', fx, [() => kernel.kill('pause', id), () => kernel.pauseBundles.delete(id)], () => undefined),
  };
}

function looks(kernel: Kernel, outside: Outside, epoch: number, witness: Witness): Pick<RuntimePort, 'handlers' | 'onExit' | 'isAlive' | 'observe'> {
  return {
    handlers: () => [{ name: '', ready: true, reason: '', recursiveReadOnlyMounts: true, userNamespaces: true }],
    isAlive: (process) => kernel.lives(process),
    onExit: (listener) => witness.listen(listener),
    observe: (fx) =>
      outside.call(epoch, 'runtime.observe', fx, [], () => ({
        containers: containerIds(kernel).map((id) => factsOf(kernel, id)),
        pauses: [...kernel.pauseBundles].map((id) => ({ id: id as SandboxId, process: kernel.processOf('pause', id)?.identity })),
      })),
  };
}

function containerIds(kernel: Kernel): ContainerId[] {
  const monitors = [...kernel.processes.values()].filter((one) => one.kind !== 'pause').map((one) => one.owner);
  return [...new Set([...kernel.bundles, ...kernel.runtimeStates.keys(), ...kernel.exitFiles.keys(), ...monitors])] as ContainerId[];
}

function factsOf(kernel: Kernel, id: ContainerId): RuntimeFacts {
  const init = kernel.processOf('init', id)?.identity;
  return {
    id,
    process: init === undefined ? 'gone' : kernel.runtimeStates.get(id) === 'running' ? 'running' : 'created',
    init,
    monitorAlive: kernel.processOf('monitor', id) !== undefined,
    exitFile: kernel.exitFiles.get(id),
    leftovers: kernel.bundles.has(id) || kernel.runtimeStates.has(id),
  };
}
