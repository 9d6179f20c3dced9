// Two hundred clients and one container: every call may meet every other (F71). The simulation takes all pairs apart
// (test/sim/race.test.ts); here the runtime, the monitor and the kernel are the real ones.
import { status as codes } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { type CriClient, criClient } from '../../../scripts/support/cri-client.ts';
import { type Random, randomStream } from '../../sim/random.ts';
import {
  type ContainerAnswer,
  containerModel,
  type Phase,
  withItsStops,
} from '../../support/container-model.ts';
import { injects } from '../../support/faults/injects.ts';
import { linearize, type Operation } from '../../support/linearize.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';

type Call = Exclude<ContainerAnswer['call'], 'end'>;

const race = injects('F71', 'calls of two hundred clients on one container at once');

const CLIENTS = 200;
/** What a client calls, one after the other: nearly all overlap with the others' and few end the container. */
const COURSES: readonly (readonly Call[])[] = [
  ['status', 'start', 'status'],
  ['start', 'exec'],
  ['update', 'status'],
  ['exec', 'status'],
  ['status', 'update', 'exec'],
];
/** The last clients come with these. */
const ENDINGS: readonly (readonly Call[])[] = [
  ['start', 'exec', 'stop', 'status'],
  ['start', 'exec', 'stop', 'start'],
  ['start', 'exec', 'exec', 'stop', 'update', 'status'],
  ['start', 'exec', 'exec', 'status', 'remove', 'status'],
  ['start', 'exec', 'remove', 'exec'],
];
const ENDING_CLIENTS = 20;

const PHASES: Readonly<Record<number, Phase>> = {
  [ContainerState.CONTAINER_CREATED]: 'created',
  [ContainerState.CONTAINER_RUNNING]: 'running',
  [ContainerState.CONTAINER_EXITED]: 'exited',
};
/** As the configuration of the test's containers has them. */
const SHARES = 2n;

const outcomeOf = (error: unknown): string => {
  const { code, details } = error as { readonly code?: number; readonly details?: string };
  if (code === codes.NOT_FOUND) return 'notFound';
  return code === codes.FAILED_PRECONDITION ? 'wrongState' : `${code}: ${details}`;
};

/** All calls and answers on one container, in the order in which this process saw them. */
class Recorder {
  readonly history: Operation<ContainerAnswer>[] = [];
  readonly #containerId: string;
  #places = 0;

  constructor(containerId: string) {
    this.#containerId = containerId;
  }

  async call(client: CriClient, call: Call): Promise<void> {
    this.#places += 1;
    const calledAt = this.#places;
    const shares = BigInt(calledAt + 2);
    const answer = await this.#send(client, call, shares).then(
      (seen) => ({ call, outcome: 'ok', ...seen }),
      (error: unknown) => ({ call, outcome: outcomeOf(error) }),
    );
    this.#places += 1;
    this.history.push({
      calledAt,
      answeredAt: this.#places,
      answer: (call === 'update' ? { ...answer, shares } : answer) as ContainerAnswer,
    });
  }

  async #send({ runtime }: CriClient, call: Call, cpuShares: bigint): Promise<Partial<ContainerAnswer>> {
    const containerId = this.#containerId;
    if (call === 'start') await runtime.startContainer({ containerId });
    if (call === 'stop') await runtime.stopContainer({ containerId, timeout: 1n });
    if (call === 'remove') await runtime.removeContainer({ containerId });
    if (call === 'exec') await runtime.execSync({ containerId, cmd: ['true'], timeout: 60n });
    if (call === 'update') await runtime.updateContainerResources({ containerId, linux: { cpuShares } });
    if (call !== 'status') return {};
    const { status } = await runtime.containerStatus({ containerId });
    return {
      phase: PHASES[status?.state ?? ContainerState.CONTAINER_UNKNOWN],
      shares: status?.resources?.linux?.cpuShares,
    } as Partial<ContainerAnswer>;
  }
}

const coursesOf = (random: Random): (readonly Call[])[] => [
  ...Array.from({ length: CLIENTS - ENDING_CLIENTS }, () => random.pick(COURSES)),
  ...Array.from({ length: ENDING_CLIENTS }, () => random.pick(ENDINGS)),
];

describePods('calls of many clients', () => {
  let world: World;
  const clients: CriClient[] = [];
  beforeAll(async () => {
    world = await makeWorld({ name: 'races', network: 'host-only', logLevel: 'info' });
    for (let count = 0; count < CLIENTS; count += 1) clients.push(criClient(world.instance.socket));
  });
  afterAll(async () => {
    for (const client of clients) client.close();
    await world.close();
  });

  test(`F71: Start, Stop, Remove, Exec, Update and Status of ${CLIENTS} clients on one container: the answers are linearizable, the last Remove wins`, async () => {
    const { runtime } = world.client;
    const config = sandboxConfig({ name: 'all', logDirectory: `${world.logs}/all`, hostNetwork: true });
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    const request = containerConfig({
      name: 'main',
      image: await world.pull(),
      command: untilTermed(0),
      hostNetwork: true,
    });
    const { containerId } = await runtime.createContainer({
      podSandboxId,
      config: request,
      sandboxConfig: config,
    });
    const recorder = new Recorder(containerId);
    const courses = coursesOf(randomStream(1, 'courses'));
    await Promise.all(
      clients.map(async (client, index) => {
        for (const call of courses[index] ?? []) await recorder.call(client, call);
      }),
    );
    await recorder.call(world.client, 'remove');
    await recorder.call(world.client, 'status');
    const { history } = recorder;
    race.happened(history.length);
    const answers = new Set(history.map(({ answer }) => `${answer.call} ${answer.outcome}`));
    // it was no mere row of refusals
    expect([...answers]).toEqual(
      expect.arrayContaining(['start ok', 'exec ok', 'update ok', 'status ok', 'stop ok', 'remove ok']),
    );
    expect([...answers].filter((answer) => !/ (?:ok|wrongState|notFound)$/u.test(answer))).toEqual([]);
    expect(history.at(-1)?.answer).toMatchObject({ call: 'status', outcome: 'notFound' });
    const reported = history
      .map(
        ({ calledAt, answeredAt, answer }) =>
          `${calledAt}–${answeredAt} ${Object.values(answer).map(String).join(' ')}`,
      )
      .join('\n');
    expect(
      linearize(containerModel('created', SHARES), withItsStops(history)),
      `no order gives these answers:\n${reported}`,
    ).toBeDefined();
    await runtime.stopPodSandbox({ podSandboxId });
    await runtime.removePodSandbox({ podSandboxId });
    expect(await world.leftovers()).toEqual([]);
  });
});
