/** `troupe run` and `troupe rm`: a pod with one container, to try an image; without a kubelet and without crictl. */
import { stat } from 'node:fs/promises';
import { realRandom } from '../../host/clock/random.ts';
import { pause } from '../../host/clock/wait.ts';
import { isAbsent } from '../../host/ffi/errno.ts';
import { FaultError, fault, toFault } from '../../base/fault.ts';
import { ContainerState } from '../../gen/runtime/v1/api_pb.ts';
import { imageClient, imageFault, runtimeClient } from '../../introspection/image-client.ts';
import type { RuntimeClient } from '../../introspection/image-client.ts';
import { programLimits } from '../bounds.ts';
import { copyLog } from '../programs/follow-log.ts';
import type { Backlog } from '../programs/follow-log.ts';
import { catchInterrupts } from '../programs/interrupts.ts';
import type { Interrupts } from '../programs/interrupts.ts';
import { programOutput } from '../programs/output.ts';
import { runRemote } from '../programs/remote-command.ts';
import type { Command } from './context.ts';
import { checkTerminal, startFailure } from './exec.ts';
import { CommandError, EXIT } from './exit-codes.ts';
import { pullShown } from './pull.ts';
import { containerRequest, podRequest, RUN_LABEL, RUN_NAMESPACE, readRunOptions } from './run-request.ts';
import type { PodRunOptions } from './run-request.ts';
import { untilExited } from './until-exited.ts';

/**
 * The exit code is the program's; 128 and the signal's number when a signal ended the command. Its output is read from
 * the log: attaching would lose what is written before, and cuts a client that reads slowly.
 */
export async function runPod(command: Command): Promise<number> {
  const random = realRandom();
  const requested = readRunOptions(command.line, random.token(programLimits.nameDigits));
  checkTerminal(command);
  await checkVolumes(requested);
  const { socket, configJson } = await command.client.status({});
  await checkName(command, requested.name);
  const interrupts = catchInterrupts();
  const run = new PodRun(command, requested, { socket, configJson, uid: random.id(), interrupts });
  try {
    const code = await run.toEnd();
    return interrupts.exitCode() ?? code;
  } catch (thrown) {
    const code = interrupts.exitCode();
    if (code === undefined) throw thrown;
    return code;
  } finally {
    await run.leave();
    interrupts.stop();
  }
}

/** `troupe rm POD`: stops and removes a pod of `troupe run`. Pods of a kubelet are the kubelet's to remove. */
export async function removePod(command: Command): Promise<number> {
  const { client, line } = command;
  const what = line.words[0] ?? '';
  const { actor } = await client.explain({ query: what });
  const attempted = `troupe rm ${what}`;
  if (actor === undefined || actor.kind === 'pull' || actor.removedNs !== 0n)
    throw new CommandError(EXIT.notFound, `${attempted}: no such pod`);
  const podSandboxId = actor.kind === 'sandbox' ? actor.id : actor.sandboxId;
  const { socket } = await client.status({});
  const cri = runtimeClient(socket);
  const refused = (thrown: unknown): Promise<never> => Promise.reject(imageFault(thrown, socket));
  const { items } = await cri.listPodSandbox({ filter: { id: podSandboxId } }).catch(refused);
  const isOurs = items[0]?.labels[RUN_LABEL.name] === RUN_LABEL.value;
  if (!isOurs && !line.flags.has('force'))
    throw new CommandError(
      EXIT.failed,
      `${attempted}: not a pod of troupe run; a kubelet removes its own, --force removes it all the same`,
    );
  await cri.stopPodSandbox({ podSandboxId }).catch(refused);
  await cri.removePodSandbox({ podSandboxId }).catch(refused);
  return EXIT.ok;
}

/** The runtime would make an empty directory of a path that does not exist: a wrong path would go unnoticed. */
async function checkVolumes({ volumes }: PodRunOptions): Promise<void> {
  for (const { hostPath } of volumes) {
    const reason = await stat(hostPath).then(() => '', reasonOf);
    if (reason !== '')
      throw new CommandError(EXIT.programFailed, `troupe run: --volume ${hostPath}: ${reason}`);
  }
}

function reasonOf(thrown: unknown): string {
  return isAbsent(thrown) ? 'not found' : toFault(thrown).message;
}

/** A second pod of the name would make it ambiguous in every command. */
async function checkName({ client, line }: Command, name: string): Promise<void> {
  const { actors } = await client.list({ kind: 'sandbox' });
  if (actors.some((pod) => pod.name === name && pod.namespace === RUN_NAMESPACE))
    throw new CommandError(
      EXIT.programFailed,
      `troupe ${line.command}: pod ${RUN_NAMESPACE}/${name} exists: troupe rm ${name} removes it`,
    );
}

interface RunParts {
  readonly socket: string;
  readonly configJson: string;
  readonly uid: string;
  readonly interrupts: Interrupts;
}

/** One pod from its image to its removal. */
class PodRun {
  readonly #command: Command;
  readonly #requested: PodRunOptions;
  readonly #parts: RunParts;
  readonly #cri: RuntimeClient;
  readonly #backlog: Backlog = { isWaiting: false, isDropped: false };
  #podId = '';
  /** RunPodSandbox was called. */
  #isMade = false;
  /** The daemon did not come back while the container ran. */
  #isAlone = false;

  constructor(command: Command, requested: PodRunOptions, parts: RunParts) {
    this.#command = command;
    this.#requested = requested;
    this.#parts = parts;
    this.#cri = runtimeClient(parts.socket);
  }

  /** Makes the pod, runs the container, and returns its exit code; 0 for one that is detached. */
  async toEnd(): Promise<number> {
    const { uid } = this.#parts;
    const image = await this.#image();
    this.#checkWanted();
    const config = podRequest(this.#requested, uid);
    this.#isMade = true;
    this.#podId = (await this.#call(this.#cri.runPodSandbox({ config }, this.#wanted))).podSandboxId;
    this.#checkWanted();
    const containerId = await this.#start(config, image);
    if (this.#requested.detach) {
      this.#command.screen.line(this.#requested.name);
      return EXIT.ok;
    }
    await this.#follow(containerId);
    return await this.#exitCode(containerId);
  }

  /** The image's id; pulled if it is not present. */
  async #image(): Promise<string> {
    const { image } = this.#requested;
    const found = await this.#call(imageClient(this.#parts.socket).imageStatus({ image: { image } }));
    if (found.image !== undefined) return found.image.id;
    // the program's output is on stdout, and the bar on stderr
    return pullShown({ ...this.#command, signal: this.#parts.interrupts.signal }, image);
  }

  /** Creates and starts the container; runtimes find out at either that there is no such program. */
  async #start(sandboxConfig: ReturnType<typeof podRequest>, image: string): Promise<string> {
    const config = containerRequest(this.#requested, this.#parts.uid, image);
    const podSandboxId = this.#podId;
    try {
      const { containerId } = await this.#call(
        this.#cri.createContainer({ podSandboxId, sandboxConfig, config }, this.#wanted),
      );
      this.#checkWanted();
      await this.#call(this.#cri.startContainer({ containerId }, this.#wanted));
      return containerId;
    } catch (thrown) {
      const { message } = toFault(thrown);
      throw new CommandError(startFailure(message), `troupe run: ${message}`);
    }
  }

  /** Shows the output and passes the input until the container has exited. The first signal stops it. */
  async #follow(containerId: string): Promise<void> {
    const { interrupts } = this.#parts;
    const { clock } = this.#command;
    const { status } = await this.#call(this.#cri.containerStatus({ containerId }));
    const over = new AbortController();
    const ended = untilExited(this.#command, containerId, over.signal);
    ended.then(
      () => over.abort(),
      () => (this.#isAlone = true),
    );
    const stop = (): void => void this.#stop(containerId, programLimits.graceS);
    // without a daemon there is nothing to wait for
    const kill = (): void => void this.#stop(containerId, 0).then((isStopped) => isStopped || over.abort());
    interrupts.signal.addEventListener('abort', stop, { once: true });
    interrupts.again.addEventListener('abort', kill, { once: true });
    if (interrupts.signal.aborted) stop();
    const output = programOutput(process.stdout, process.stderr, () => interrupts.outputLost());
    const requested = { path: status?.logPath ?? '', tail: undefined, sinceNs: undefined, timestamps: false };
    const copied = copyLog(requested, output, {
      ended,
      signal: interrupts.again,
      clock,
      backlog: this.#backlog,
    });
    try {
      await Promise.all([copied, ended, this.#passInput(containerId, over.signal)]);
    } finally {
      over.abort();
    }
  }

  /** Input goes through an attachment, which is made again after a restart of the daemon. */
  async #passInput(containerId: string, over: AbortSignal): Promise<void> {
    const { stdin, tty } = this.#requested;
    while (stdin && !over.aborted) {
      try {
        const { url } = await this.#call(
          this.#cri.attach({ containerId, stdin: true, stdout: false, stderr: false, tty }),
        );
        const end = await runRemote(url, {
          clock: this.#command.clock,
          random: realRandom(),
          configJson: this.#parts.configJson,
          input: process.stdin,
          output: { stdout: () => Promise.resolve(), stderr: () => Promise.resolve() },
          terminals: tty ? [process.stdout, process.stderr] : [],
          signal: over,
          onInput: (bytes) => {
            // as the kernel's terminals: output that waits is dropped (termios(3), NOFLSH)
            this.#backlog.isDropped ||= tty && this.#backlog.isWaiting && bytes.includes(CTRL_C);
          },
        });
        if (end.kind === 'exited') return;
      } catch {
        // the container has exited, or the daemon has gone: `ended` knows
      }
      await pause(this.#command.clock, programLimits.againMs, over).catch(() => undefined);
    }
  }

  /** False if the daemon did not answer. */
  #stop(containerId: string, graceS: number): Promise<boolean> {
    return this.#cri.stopContainer({ containerId, timeout: BigInt(graceS) }).then(
      () => true,
      () => false,
    );
  }

  /** A daemon that has just been started again is still reading its records. */
  async #exitCode(containerId: string): Promise<number> {
    const { again } = this.#parts.interrupts;
    for (let left = this.#isAlone ? 0 : programLimits.attempts; ; left -= 1) {
      try {
        const { status } = await this.#call(this.#cri.containerStatus({ containerId }));
        if (status?.state === ContainerState.CONTAINER_EXITED) return status.exitCode;
        throw new CommandError(EXIT.programFailed, 'troupe run: the container has no exit code');
      } catch (thrown) {
        if (toFault(thrown).kind !== 'notReady' || left <= 0 || again.aborted) throw thrown;
        await pause(this.#command.clock, programLimits.againMs, again).catch(() => undefined);
      }
    }
  }

  /** Until the container runs, the first signal cancels the call: a network plugin may hang. */
  get #wanted(): { readonly signal: AbortSignal } {
    return { signal: this.#parts.interrupts.signal };
  }

  /**
   * Removes the pod, unless it is to stay. Never rejects: what is left is said, and how to remove it. A signal from now
   * on gives it up.
   */
  async leave(): Promise<void> {
    const { name, keep, detach } = this.#requested;
    const { screen, clock } = this.#command;
    const { again } = this.#parts.interrupts;
    const givenUp = this.#parts.interrupts.next();
    if (keep && this.#podId !== '') {
      if (!detach) screen.note(`troupe run: pod ${name} is kept: troupe logs ${name}, troupe rm ${name}`);
      return;
    }
    if (!this.#isMade) return;
    for (let left = this.#isAlone ? 0 : programLimits.attempts; ; left -= 1) {
      try {
        await this.#remove({ signal: givenUp });
        return;
      } catch (thrown) {
        const mayPass = toFault(thrown).kind === 'notReady' && left > 0 && !again.aborted && !givenUp.aborted;
        if (!mayPass) {
          screen.note(`troupe run: ${toFault(thrown).message}`);
          screen.note(`troupe run: pod ${RUN_NAMESPACE}/${name} is left: troupe rm ${name} removes it`);
          return;
        }
        if (left === programLimits.attempts)
          screen.note('troupe run: the daemon does not answer; waiting for it, to remove the pod');
        await pause(clock, programLimits.againMs, givenUp).catch(() => undefined);
      }
    }
  }

  async #remove(options: { readonly signal: AbortSignal }): Promise<void> {
    for (const podSandboxId of await this.#madePods(options)) {
      await this.#call(this.#cri.stopPodSandbox({ podSandboxId }, options));
      await this.#call(this.#cri.removePodSandbox({ podSandboxId }, options));
    }
  }

  /** A call that was not answered may have made the pod, or is still making it: then clients don't see it. */
  async #madePods(options: { readonly signal: AbortSignal }): Promise<readonly string[]> {
    const { items } = await this.#call(this.#cri.listPodSandbox({}, options));
    const seen = new Set(items.map(({ id }) => id));
    const { actors } = await this.#call(this.#command.client.list({ kind: 'sandbox' }, options));
    return [
      ...items.filter(({ metadata }) => metadata?.uid === this.#parts.uid).map(({ id }) => id),
      ...actors
        .filter((pod) => pod.name === this.#requested.name && pod.namespace === RUN_NAMESPACE)
        .filter(({ id, listed }) => !listed && !seen.has(id))
        .map(({ id }) => id),
    ];
  }

  #checkWanted(): void {
    if (this.#parts.interrupts.signal.aborted)
      throw new FaultError(fault('cancelled', 'run a pod: interrupted'));
  }

  #call<T>(answer: Promise<T>): Promise<T> {
    return answer.catch((thrown: unknown) => Promise.reject(imageFault(thrown, this.#parts.socket)));
  }
}

/** Ctrl-C as a terminal in raw mode sends it. */
const CTRL_C = 0x03;
