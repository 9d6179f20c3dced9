// GetContainerEvents and the Stream* lists of the running daemon.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CriStream } from '../../../scripts/support/cri-client.ts';
import type { World } from '../../e2e/support/world.ts';
import type { ContainerEventResponse } from '../../../src/gen/runtime/v1/api_pb.ts';
import { ContainerEventType, ContainerState, PodSandboxState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { injects } from '../../support/faults/injects.ts';
import { closeWorld, hostOnlyWorld, makePod, processesIn, removePod } from './pod.ts';

const endedEarly = injects(
  'F42',
  'a container of a daemon ends before its start, or as soon as it is started',
);

/** gRPC's code Unavailable. */
const UNAVAILABLE = 14;

/** Of each type of event. */
const WORDS = ['created', 'started', 'stopped', 'deleted'];

let world: World;

beforeAll(async () => {
  world = await hostOnlyWorld('evt');
});

afterAll(async () => {
  expect(await closeWorld(world)).toEqual([]);
});

/** The events up to the first that is the last one wanted. */
async function until(
  events: CriStream<ContainerEventResponse>,
  isLast: (event: ContainerEventResponse) => boolean,
): Promise<ContainerEventResponse[]> {
  const seen: ContainerEventResponse[] = [];
  for await (const event of events) {
    seen.push(event);
    if (isLast(event)) break;
  }
  return seen;
}

/** Removes the pod; the events up to the last of it. */
async function untilRemoved(events: CriStream<ContainerEventResponse>, sandboxId: string) {
  await removePod(world, sandboxId);
  return await until(
    events,
    (event) =>
      event.containerId === sandboxId &&
      event.containerEventType === ContainerEventType.CONTAINER_DELETED_EVENT,
  );
}

describe('GetContainerEvents', () => {
  it('I11: sends each step of a pod once and in order, with the pod’s state at that time', async () => {
    const events = world.client.runtimeStreams.getContainerEvents({});
    await events.opened;
    const { sandboxId, containerId } = await makePod(world, 'life');
    await world.client.runtime.startContainer({ containerId });
    await world.client.runtime.stopContainer({ containerId, timeout: 0n });
    await world.client.runtime.removeContainer({ containerId });
    const seen = await untilRemoved(events, sandboxId);

    const names = new Map([
      [sandboxId, 'pod'],
      [containerId, 'main'],
    ]);
    expect(seen.map((event) => `${names.get(event.containerId)} ${WORDS[event.containerEventType]}`)).toEqual(
      [
        'pod created',
        'pod started',
        'main created',
        'main started',
        'main stopped',
        'main deleted',
        'pod stopped',
        'pod deleted',
      ],
    );
    const podStates = seen.map((event) => event.podSandboxStatus?.state);
    expect(podStates).toEqual([
      ...Array<PodSandboxState>(6).fill(PodSandboxState.SANDBOX_READY),
      PodSandboxState.SANDBOX_NOTREADY,
      PodSandboxState.SANDBOX_NOTREADY,
    ]);
    expect(seen.every((event) => event.podSandboxStatus?.metadata?.uid === 'uid-life')).toBe(true);
    expect(seen.map((event) => event.containersStatuses.map((status) => status.state))).toEqual([
      [],
      [],
      [ContainerState.CONTAINER_CREATED],
      [ContainerState.CONTAINER_RUNNING],
      [ContainerState.CONTAINER_EXITED],
      [],
      [],
      [],
    ]);
    expect(seen[4]?.containersStatuses[0]).toMatchObject({ id: containerId, exitCode: 137 });
    const times = seen.map((event) => event.createdAt);
    expect(times.every((time, at) => at === 0 || time > (times[at - 1] ?? time))).toBe(true);
  });

  it('I11: no event comes before ContainerStatus shows the same; PodSandboxStatus shows whole pods meanwhile', async () => {
    const events = world.client.runtimeStreams.getContainerEvents({});
    await events.opened;
    const seen: string[] = [];
    const reading = (async () => {
      for await (const event of events) {
        if (event.containersStatuses.length === 0) continue;
        const { status } = await world.client.runtime.containerStatus({ containerId: event.containerId });
        const reported = event.containersStatuses.find((one) => one.id === event.containerId);
        // the status may be ahead of the event, never behind
        seen.push(`${reported?.state} ${(status?.state ?? -1) >= (reported?.state ?? 9)}`);
        if (event.containerEventType === ContainerEventType.CONTAINER_STOPPED_EVENT) break;
      }
    })();
    const { sandboxId, containerId } = await makePod(world, 'ahead');
    await world.client.runtime.startContainer({ containerId });
    const whole = await world.client.runtime.podSandboxStatus({ podSandboxId: sandboxId });
    expect(whole.containersStatuses.map((status) => status.id)).toEqual([containerId]);
    expect(whole.timestamp > 0n).toBe(true);
    await world.client.runtime.stopContainer({ containerId, timeout: 0n });
    await reading;
    expect(seen).toEqual([
      `${ContainerState.CONTAINER_CREATED} true`,
      `${ContainerState.CONTAINER_RUNNING} true`,
      `${ContainerState.CONTAINER_EXITED} true`,
    ]);
    await removePod(world, sandboxId);
  });

  it.each([
    ['killed before its start', 137, ['created', 'stopped', 'deleted']],
    ['that ends at once', 0, ['created', 'started', 'stopped', 'deleted']],
  ])(
    'F42: a container %s has one exit, and each event once and in order',
    async (_how, exitCode, expected) => {
      const { runtime, runtimeStreams } = world.client;
      const events = runtimeStreams.getContainerEvents({});
      await events.opened;
      const { sandboxId, containerId } = await makePod(world, 'early', { command: ['true'] });
      const statusNow = async () => (await runtime.containerStatus({ containerId })).status;
      if (exitCode === 0) await runtime.startContainer({ containerId });
      else for (const pid of processesIn(containerId)) process.kill(pid, 'SIGKILL');
      await expect.poll(async () => (await statusNow())?.state).toBe(ContainerState.CONTAINER_EXITED);
      endedEarly.happened();
      if (exitCode !== 0) await expect(runtime.startContainer({ containerId })).rejects.toThrow(containerId);
      const status = await statusNow();
      expect(status?.exitCode).toBe(exitCode);
      expect((status?.startedAt ?? 1n) <= (status?.finishedAt ?? 0n)).toBe(true);
      const seen = await untilRemoved(events, sandboxId);
      const ofContainer = seen.filter((event) => event.containerId === containerId);
      expect(ofContainer.map(({ containerEventType }) => WORDS[containerEventType])).toEqual(expected);
    },
  );

  it('F86: a client that reconnects gets new events only', async () => {
    const { sandboxId, containerId } = await makePod(world, 'again');
    const events = world.client.runtimeStreams.getContainerEvents({});
    await events.opened;
    await world.client.runtime.startContainer({ containerId });
    const [first] = await until(events, () => true);
    expect(first).toMatchObject({
      containerId,
      containerEventType: ContainerEventType.CONTAINER_STARTED_EVENT,
    });
    await removePod(world, sandboxId);
  });

  it('F12: ends with Unavailable when the daemon is stopped', async () => {
    const events = world.client.runtimeStreams.getContainerEvents({});
    await events.opened;
    const ended = until(events, () => false).then(
      () => undefined,
      (error: { code: number }) => error.code,
    );
    expect(await world.instance.terminate()).toBe(0);
    expect(await ended).toBe(UNAVAILABLE);
    await world.instance.start();
  });
});

describe('StreamPodSandboxes, StreamContainers, StreamImages', () => {
  async function all<T>(stream: CriStream<T>): Promise<T[]> {
    const messages: T[] = [];
    for await (const message of stream) messages.push(message);
    return messages;
  }

  it('I11: send what the lists answer, with the same filters, and end', async () => {
    const pods = [await makePod(world, 'list-a'), await makePod(world, 'list-b')];
    const { runtime, image, runtimeStreams, imageStreams } = world.client;
    const sandboxes = (await all(runtimeStreams.streamPodSandboxes({}))).flatMap(
      (message) => message.podSandboxes,
    );
    expect(sandboxes).toEqual((await runtime.listPodSandbox({})).items);
    expect(sandboxes).toHaveLength(2);
    const containers = (await all(runtimeStreams.streamContainers({}))).flatMap(
      (message) => message.containers,
    );
    expect(containers).toEqual((await runtime.listContainers({})).containers);
    expect(containers).toHaveLength(2);
    const [, second] = pods;
    const filtered = await all(
      runtimeStreams.streamContainers({ filter: { podSandboxId: second?.sandboxId ?? '' } }),
    );
    expect(filtered.flatMap((message) => message.containers).map((one) => one.id)).toEqual([
      second?.containerId,
    ]);
    const images = (await all(imageStreams.streamImages({}))).flatMap((message) => message.images);
    expect(images).toEqual((await image.listImages({})).images);
    expect(images).toHaveLength(1);
    expect(await all(runtimeStreams.streamPodSandboxes({ filter: { id: 'f'.repeat(64) } }))).toEqual([]);
    for (const { sandboxId } of pods) await removePod(world, sandboxId);
  });
});
