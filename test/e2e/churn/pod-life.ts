// One pod's life as a kubelet drives it through a daemon that may be killed at any moment: every call is tried again
// with what changes between two tries (a new termination log, another annotation), after it has read what exists.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ServiceError } from '@grpc/grpc-js';
import { status as codes } from '@grpc/grpc-js';
import type { CriClient } from '../../../scripts/support/cri-client.ts';
import { type ContainerStatus, ContainerState, PodSandboxState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { untilHolds } from '../support/crictl.ts';
import { type ContainerRequest, containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';

/** What all pods of a run count together. */
export class Tally {
  /** Calls that failed, by `method code`. */
  readonly failures = new Map<string, number>();
  readonly alreadyExists: string[] = [];
  /** `container: expected, seen`. */
  readonly wrongExitCodes: string[] = [];
  /** `container: what its log lacks or has twice`. */
  readonly wrongLogs: string[] = [];
  /** ms from a call's first try to its success, the longest of all, and which. */
  longest: { readonly ms: number; readonly of: string } = { ms: 0, of: '' };
  calls = 0;
  containers = 0;
  removed = 0;

  failed(method: string, error: ServiceError): void {
    const key = `${method} ${codes[error.code] ?? error.code}`;
    this.failures.set(key, (this.failures.get(key) ?? 0) + 1);
    if (error.code === codes.ALREADY_EXISTS) this.alreadyExists.push(`${method}: ${error.details}`);
  }
}

export interface LifeOptions {
  readonly client: CriClient;
  readonly tally: Tally;
  readonly name: string;
  readonly image: string;
  readonly logs: string;
  /** ms that the pod stays up. */
  readonly holdMs: number;
  /**
   * Bound of each call. The kubelet's are 4 minutes for a sandbox and 2 for the rest; a dead daemon is back much
   * sooner.
   */
  readonly callMs: number;
  /** Exit code of the container that ends by itself. */
  readonly exitCode: number;
}

const TRY_AGAIN_MS = 200;
/** Tries per call: at one kill every two seconds far more than a pod can meet. */
const TRIES = 60;
/** The code with which the long-lived container answers SIGTERM. */
const TERMED = 143 - 100;

/** Of a log that are shown with an exit code that is not the expected one. */
const LOG_CHARS = 400;
/** Lines of the container that ends by itself. */
const LINES = 50;

type Call = (attempt: number) => Promise<void>;

/**
 * Calls until it succeeds. Anything but an answer of the transport, a deadline or "not ready" is an error of the
 * daemon.
 */
async function insist(options: LifeOptions, method: string, call: Call): Promise<void> {
  const { tally } = options;
  const startedAt = performance.now();
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    try {
      tally.calls += 1;
      await call(attempt);
      const ms = performance.now() - startedAt;
      if (ms > tally.longest.ms) tally.longest = { ms, of: method };
      return;
    } catch (thrown) {
      const error = thrown as ServiceError;
      if (typeof error.code !== 'number') throw thrown;
      tally.failed(method, error);
      if (attempt === TRIES - 1)
        throw new Error(`${method} of ${options.name} failed ${TRIES} times: ${error.details}`, {
          cause: thrown,
        });
      await delay(TRY_AGAIN_MS);
    }
  }
}

/** RunPodSandbox … RemovePodSandbox. */
export async function podLife(options: LifeOptions): Promise<void> {
  const logDirectory = join(options.logs, options.name);
  mkdirSync(logDirectory, { recursive: true });
  const podSandboxId = await runSandbox(options, logDirectory);
  const counting = `i=0; while [ $i -lt ${LINES} ]; do i=$((i+1)); echo line $i; done; exit ${options.exitCode}`;
  const brief = await runContainer(options, podSandboxId, { name: 'brief', command: ['sh', '-c', counting] });
  const lasting = await runContainer(options, podSandboxId, {
    name: 'lasting',
    command: untilTermed(TERMED),
  });
  await delay(options.holdMs);
  await endContainer(options, brief, { name: 'brief', exitCode: options.exitCode, isStopped: false });
  checkLog(options, logOf(options, 'brief'));
  // a signal before its trap is set would be lost, and it would end by SIGKILL after the grace period
  await untilHolds(logOf(options, 'lasting'), 'up');
  await endContainer(options, lasting, { name: 'lasting', exitCode: TERMED, isStopped: true });
  const { runtime } = options.client;
  await insist(
    options,
    'StopPodSandbox',
    async () => void (await runtime.stopPodSandbox({ podSandboxId }, { deadlineMs: options.callMs })),
  );
  await insist(
    options,
    'RemovePodSandbox',
    async () => void (await runtime.removePodSandbox({ podSandboxId }, { deadlineMs: options.callMs })),
  );
  options.tally.removed += 1;
}

/** Each line once, in order: the format of CRI logs is `time stream tag text`. */
function checkLog({ tally, name }: LifeOptions, path: string): void {
  const texts = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(' ').slice(3).join(' '));
  const expected = Array.from({ length: LINES }, (_value, index) => `line ${index + 1}`);
  if (texts.join() !== expected.join())
    tally.wrongLogs.push(
      `${name}: ${texts.length} lines of ${LINES}: ${texts.slice(0, 3).join(', ')} … ${texts.slice(-3).join(', ')}`,
    );
}

/** A ready sandbox of the pod that a lost answer left is used again, as the kubelet does. */
async function runSandbox(options: LifeOptions, logDirectory: string): Promise<string> {
  const { runtime } = options.client;
  let id = '';
  await insist(options, 'RunPodSandbox', async (attempt) => {
    if (attempt > 0) {
      const { items } = await runtime.listPodSandbox({
        filter: { labelSelector: { 'io.kubernetes.pod.uid': `uid-${options.name}` } },
      });
      const ready = items.find((item) => item.state === PodSandboxState.SANDBOX_READY);
      if (ready !== undefined) {
        id = ready.id;
        return;
      }
    }
    const config = sandboxConfig({ name: options.name, logDirectory, annotations: { try: String(attempt) } });
    id = (await runtime.runPodSandbox({ config }, { deadlineMs: options.callMs })).podSandboxId;
  });
  return id;
}

async function runContainer(
  options: LifeOptions,
  podSandboxId: string,
  request: Pick<ContainerRequest, 'name' | 'command'>,
): Promise<string> {
  const { runtime } = options.client;
  const logDirectory = join(options.logs, options.name);
  let id = '';
  options.tally.containers += 1;
  await insist(options, 'CreateContainer', async (attempt) => {
    // A kubelet's files have random names; numbered they are as different, and a failure can be followed.
    const terminationLog = join(logDirectory, `${request.name}-termination-${attempt}`);
    writeFileSync(terminationLog, '');
    const config = containerConfig({
      ...request,
      image: options.image,
      terminationLog,
      annotations: { try: String(attempt) },
    });
    const pod = sandboxConfig({ name: options.name, logDirectory, annotations: { try: String(attempt) } });
    id = (
      await runtime.createContainer(
        { podSandboxId, config, sandboxConfig: pod },
        { deadlineMs: options.callMs },
      )
    ).containerId;
  });
  await insist(options, 'StartContainer', async (attempt) => {
    // The answer may have been lost with the daemon; a started container is not started again.
    if (attempt > 0 && (await statusOf(options, id)).state !== ContainerState.CONTAINER_CREATED) return;
    await runtime.startContainer({ containerId: id }, { deadlineMs: options.callMs });
  });
  return id;
}

async function statusOf({ client, callMs }: LifeOptions, containerId: string): Promise<ContainerStatus> {
  const { status } = await client.runtime.containerStatus({ containerId }, { deadlineMs: callMs });
  if (status === undefined) throw new Error(`ContainerStatus of ${containerId} has no status`);
  return status;
}

interface Ending {
  /** Of the container. */
  readonly name: string;
  readonly exitCode: number;
  /** It does not end by itself. */
  readonly isStopped: boolean;
}

const logOf = ({ logs, name }: LifeOptions, container: string): string =>
  join(logs, name, container, '0.log');

/** Waits for its end or stops it, compares the exit code, removes it. */
async function endContainer(
  options: LifeOptions,
  containerId: string,
  { name, exitCode: expected, isStopped }: Ending,
): Promise<void> {
  const { runtime } = options.client;
  if (isStopped)
    await insist(
      options,
      'StopContainer',
      async () =>
        void (await runtime.stopContainer({ containerId, timeout: 10n }, { deadlineMs: options.callMs })),
    );
  let seen: ContainerStatus | undefined;
  await insist(options, 'ContainerStatus', async () => {
    do seen = await statusOf(options, containerId);
    while (seen.state !== ContainerState.CONTAINER_EXITED && !isStopped && (await delay(TRY_AGAIN_MS, true)));
  });
  const isExpected =
    seen?.state === ContainerState.CONTAINER_EXITED &&
    seen.exitCode === expected &&
    seen.finishedAt >= seen.startedAt &&
    seen.startedAt > 0n;
  if (!isExpected) {
    const shown =
      seen === undefined
        ? 'nothing'
        : `${seen.exitCode}, state ${seen.state}, ${seen.reason}, ${seen.startedAt} to ${seen.finishedAt}`;
    options.tally.wrongExitCodes.push(
      `${options.name} ${containerId}: expected ${expected}, seen ${shown}; its log: ${readFileSync(logOf(options, name), 'utf8').slice(-LOG_CHARS)}`,
    );
  }
  await insist(
    options,
    'RemoveContainer',
    async () => void (await runtime.removeContainer({ containerId }, { deadlineMs: options.callMs })),
  );
}
