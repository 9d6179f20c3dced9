/** Runtime and monitor over the simulated kernel. The watch belongs to one instance of the daemon, monitors do not. */
import type { ExitFact, ProcessIdentity } from '../../src/ports/journal.ts';
import type { BundleInput, RuntimeFacts, RuntimePort } from '../../src/ports/runtime.ts';
import type { Resources } from '../../src/ports/specs.ts';
import { fail } from '../../src/base/fault.ts';
import type { ContainerId, SandboxId } from '../../src/base/ids.ts';
import { signalNumber } from '../../src/oci/runtime/spec/signals.ts';
import { execTwin } from './exec-twin.ts';
import { handlerStatuses, knows, ONLY_RUNC } from './handlers.ts';
import type { Handlers } from './handlers.ts';
import { lossFact, neverStartedFact } from './kernel.ts';
import type { Kernel } from './kernel.ts';
import type { Outside } from './outside.ts';

type Listener = (id: ContainerId, exit: ExitFact) => void;

/** The port in the life `epoch`. */
export function runtimeTwin(
  kernel: Kernel,
  outside: Outside,
  epoch: number,
  handlers: Handlers = ONLY_RUNC,
): RuntimePort {
  const witness = new Witness(kernel, outside, epoch);
  kernel.onExit = (id) => witness.reportEnd(id as ContainerId);
  return {
    ...ofContainers(kernel, outside, epoch, witness, handlers),
    ...ofPauses(kernel, outside, epoch),
    ...polls(kernel, outside, epoch, witness, handlers),
  };
}

/** Reports exits at least once, and often twice: by the exit file and by the end of the process. */
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
    for (const id of this.#kernel.exitFiles.keys()) this.reportEnd(id as ContainerId);
  }

  watch(id: ContainerId, init: ProcessIdentity): void {
    if (this.#watched.has(id)) return;
    this.#watched.add(id);
    if (!this.#kernel.lives(init) || this.#kernel.processOf('monitor', id) === undefined) this.reportEnd(id);
  }

  unwatch(id: ContainerId): void {
    this.#watched.delete(id);
  }

  reportEnd(id: ContainerId): void {
    const { scheduler } = this.#outside;
    scheduler.add(this.#epoch, `exit of ${id.slice(0, 6)} is seen`, () => {
      // the file is read, the event alone is never trusted
      const file = this.#kernel.exitFiles.get(id);
      if (file !== undefined) {
        this.#watched.delete(id);
        this.#listener(id, file);
      } else if (this.#watched.has(id) && this.#kernel.processOf('monitor', id) === undefined) this.#lose(id);
    });
  }

  /** Another witness's fact. */
  report(id: ContainerId, exit: ExitFact): void {
    this.#watched.delete(id);
    this.#listener(id, exit);
  }

  /** Nobody can report its exit code: it is killed, and its end is reported once it has come. */
  #lose(id: ContainerId): void {
    if (this.#kernel.processOf('init', id) !== undefined) {
      this.#kernel.killHard(id);
      return;
    }
    this.#watched.delete(id);
    this.#listener(id, lossFact(this.#outside.scheduler.nowNs()));
  }
}

type OfContainers = Pick<
  RuntimePort,
  | 'writeBundle'
  | 'create'
  | 'start'
  | 'update'
  | 'kill'
  | 'killAll'
  | 'delete'
  | 'destroy'
  | 'readExit'
  | 'forgetExit'
  | 'reopenLog'
  | 'execSync'
  | 'watch'
>;

function ofContainers(
  kernel: Kernel,
  outside: Outside,
  epoch: number,
  witness: Witness,
  handlers: Handlers,
): OfContainers {
  const call = outside.life(epoch);
  const done = (): void => undefined;
  return {
    writeBundle: (input, fx) =>
      call('runtime.writeBundle', fx, [() => writeBundle(kernel, input, handlers)], () => ({
        uid: 0,
        gid: 0,
        supplementalGroups: [],
        stopSignal: 'SIGTERM',
        logPath: '',
      })),
    create: ({ id, spec }, fx) => {
      let init: ProcessIdentity | undefined;
      const parts = [
        () => {
          if (!kernel.bundles.has(id)) refuse(kernel, 'notFound', `create of ${id} without a bundle`);
          if (kernel.processOf('monitor', id) !== undefined) kernel.wrongs.push(`a second monitor of ${id}`);
          kernel.spawn('monitor', id);
          kernel.logs.open(id);
        },
        () => kernel.limits.set(id, spec.resources),
        () => kernel.runtimeStates.set(id, 'created'),
        () => {
          init = kernel.spawn('init', id);
        },
      ];
      // the driver kills what a failed create has left running
      const tidy = (): void => {
        kernel.kill('monitor', id);
        kernel.kill('init', id);
      };
      return call('runtime.create', fx, parts, () => init ?? fail('bug', 'create without a process'), tidy);
    },
    start: ({ id, handler }, fx) =>
      call('runtime.start', fx, [() => start(kernel, id, handler, handlers)], done),
    update: (input, fx) => update(kernel, input, (parts) => call('runtime.update', fx, parts, done)),
    kill: ({ id, init, signal }, fx) =>
      call('runtime.kill', fx, [() => kill(kernel, id, init, signal)], done),
    killAll: ({ id, spec, init }, fx) => {
      const hasNoProcess = init === undefined && spec.restore !== undefined;
      return call(
        'runtime.killAll',
        fx,
        [() => (hasNoProcess ? endWithoutProcess(kernel, id, witness, outside) : void kernel.killHard(id))],
        done,
      );
    },
    ...afterStart(kernel, outside, epoch, witness),
  };
}

function afterStart(
  kernel: Kernel,
  outside: Outside,
  epoch: number,
  witness: Witness,
): Omit<OfContainers, 'writeBundle' | 'create' | 'start' | 'update' | 'kill' | 'killAll'> {
  const call = outside.life(epoch);
  const done = (): void => undefined;
  return {
    delete: ({ id }, fx) => call('runtime.delete', fx, [() => deleteState(kernel, id)], done),
    destroy: ({ id }, fx) => {
      // its end is no news any more
      witness.unwatch(id);
      return call('runtime.destroy', fx, destroyParts(kernel, id), done);
    },
    readExit: ({ id }, fx) => call('runtime.readExit', fx, [], () => kernel.exitFiles.get(id)),
    forgetExit: ({ id }, fx) => call('runtime.forgetExit', fx, [() => kernel.exitFiles.delete(id)], done),
    watch: ({ id, init }) => witness.watch(id, init),
    reopenLog: ({ id }, fx) => call('runtime.reopenLog', fx, [() => reopenLog(kernel, id)], done),
    execSync: execTwin(kernel, outside, epoch),
  };
}

/** What no right actor asks for, and what the driver says to it. */
function refuse(kernel: Kernel, kind: 'notFound' | 'outside', message: string): never {
  kernel.wrongs.push(message);
  return fail(kind, message);
}

/** Init alone is signalled, and only while it is that very process. */
function kill(kernel: Kernel, id: ContainerId, init: ProcessIdentity, signal: string): void {
  const number =
    signalNumber(signal) ??
    fail('invalidRequest', `signal container ${id}: there is no signal ${signal}`, { subject: id });
  if (!kernel.lives(init)) return;
  if (number === 9) kernel.killHard(id);
  else {
    kernel.terminate(id, init);
    // as the driver does
    kernel.thaw(id);
  }
}

/** Helpers of a container without a process are ended; no file will report its end. */
function endWithoutProcess(kernel: Kernel, id: ContainerId, witness: Witness, { scheduler }: Outside): void {
  kernel.kill('monitor', id);
  kernel.kill('init', id);
  if (!kernel.exitFiles.has(id)) witness.report(id, neverStartedFact(scheduler.nowNs()));
}

/**
 * The driver asks for it where the monitor has another file than the one at the path: it would put an empty one over
 * it.
 */
function reopenLog(kernel: Kernel, id: ContainerId): void {
  if (kernel.processOf('monitor', id) === undefined)
    fail('wrongState', `reopen log of container ${id}: its monitor has ended`, { subject: id });
  if (!kernel.logs.isCurrent(id)) kernel.logs.reopen(id);
  // it goes on in the new one
  kernel.speak(id, kernel.program(id).lastLines ?? 1);
}

function writeBundle(
  kernel: Kernel,
  { id, sandboxId, handler, spec, pidNamespaceOf }: BundleInput,
  handlers: Handlers,
): void {
  knows(handlers, handler);
  const { pid, targetId } = spec.security.namespaces;
  if (pid === 'target' && targetId !== undefined) {
    if (pidNamespaceOf === undefined || !kernel.lives(pidNamespaceOf))
      fail('outside', `bundle of ${id}: container ${targetId} has ended`);
    kernel.joined.set(id, targetId);
  }
  if (kernel.rootfs.get(id)?.mounted !== true)
    kernel.wrongs.push(`bundle of ${id} without a root file system`);
  if (!kernel.files.has(sandboxId))
    kernel.wrongs.push(`bundle of ${id} in sandbox ${sandboxId}, which has no files`);
  kernel.bundles.add(id);
}

function start(kernel: Kernel, id: ContainerId, handler: string, handlers: Handlers): void {
  knows(handlers, handler);
  if (kernel.processOf('init', id) === undefined) fail('outside', `runc start ${id}: the process is gone`);
  if (kernel.runtimeStates.get(id) === 'running') refuse(kernel, 'outside', `a second start of ${id}`);
  kernel.runtimeStates.set(id, 'running');
  kernel.startProgram(id);
}

/** Two files, one after the other; what a failed update leaves is any part of it. */
function update(
  kernel: Kernel,
  { id, resources }: { readonly id: ContainerId; readonly resources: Resources },
  call: (parts: (() => void)[]) => Promise<void>,
): Promise<void> {
  let touched = false;
  const set = (change: (old: Resources) => Resources) => (): void => {
    const old = kernel.limits.get(id);
    if (old === undefined || kernel.processOf('init', id) === undefined)
      return fail('outside', `runc update ${id}: it does not run`);
    touched = true;
    kernel.limits.set(id, change(old));
  };
  const poll = (): void => {
    if (!kernel.bundles.has(id))
      fail('notFound', `update container ${id}: it has no bundle`, { subject: id });
    const used = kernel.program(id).memoryBytes ?? 0n;
    const limit = resources.memoryLimitBytes ?? 0n;
    if (limit > 0n && used > limit)
      fail('wrongState', `update container ${id}: it uses ${used} bytes of memory`, { subject: id });
  };
  const result = call([
    poll,
    set((old) => ({ ...old, cpuShares: resources.cpuShares })),
    set(() => resources),
  ]);
  return result.then(
    () => void kernel.limitsUnsure.delete(id),
    (thrown: unknown) => {
      if (touched) kernel.limitsUnsure.add(id);
      throw thrown;
    },
  );
}

function deleteState(kernel: Kernel, id: ContainerId): void {
  if (kernel.processOf('init', id) !== undefined) fail('outside', `runc delete ${id}: it is not stopped`);
  kernel.runtimeStates.delete(id);
  kernel.limits.delete(id);
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
    () => kernel.checkpoints.restores.delete(id),
    () => kernel.exitFiles.delete(id),
  ];
}

function isStuck(kernel: Kernel, id: ContainerId): boolean {
  return kernel.isStuck(id) && !kernel.killHard(id);
}

function ofPauses(
  kernel: Kernel,
  outside: Outside,
  epoch: number,
): Pick<RuntimePort, 'startPause' | 'destroyPause'> {
  const call = outside.life(epoch);
  return {
    startPause: ({ id }, fx) => {
      let pause: ProcessIdentity | undefined;
      const spawn = (): void => {
        // one that runs already is kept
        pause = kernel.processOf('pause', id)?.identity ?? kernel.spawn('pause', id);
      };
      const tidy = (): void => {
        kernel.kill('pause', id);
        kernel.pauseBundles.delete(id);
      };
      return call(
        'runtime.startPause',
        fx,
        [() => kernel.pauseBundles.add(id), spawn],
        () => pause ?? fail('bug', 'no pause process'),
        tidy,
      );
    },
    destroyPause: ({ id }, fx) =>
      call(
        'runtime.destroyPause',
        fx,
        [() => kernel.kill('pause', id), () => kernel.pauseBundles.delete(id)],
        () => undefined,
      ),
  };
}

function polls(
  kernel: Kernel,
  outside: Outside,
  epoch: number,
  witness: Witness,
  handlers: Handlers,
): Pick<RuntimePort, 'handlers' | 'onExit' | 'isAlive' | 'observe'> {
  return {
    handlers: () => handlerStatuses(handlers),
    isAlive: (process) => kernel.lives(process),
    onExit: (listener) => witness.listen(listener),
    observe: (fx) =>
      outside.call(epoch, 'runtime.observe', fx, [], () => ({
        containers: containerIds(kernel).map((id) => factsOf(kernel, id)),
        pauses: [...kernel.pauseBundles].map((id) => ({
          id: id as SandboxId,
          process: kernel.processOf('pause', id)?.identity,
        })),
      })),
  };
}

function containerIds(kernel: Kernel): ContainerId[] {
  const monitors = [...kernel.processes.values()]
    .filter((one) => one.kind !== 'pause')
    .map((one) => one.owner);
  return [
    ...new Set([...kernel.bundles, ...kernel.runtimeStates.keys(), ...kernel.exitFiles.keys(), ...monitors]),
  ] as ContainerId[];
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
    checkpoint: kernel.checkpoints.restores.get(id)?.hasImages === true,
  };
}
