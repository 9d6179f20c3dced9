// GetContainerEvents: order, completeness, what an event carries.
import {
  ContainerEventType,
  type ContainerEventResponse,
  ContainerState,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { holds, same } from '../expect.ts';
import { type Group, row } from '../row.ts';
import type { Trial } from '../trial.ts';
import { eventually } from '../../support/eventually.ts';

const [CREATED, STARTED, STOPPED, DELETED] = [
  ContainerEventType.CONTAINER_CREATED_EVENT,
  ContainerEventType.CONTAINER_STARTED_EVENT,
  ContainerEventType.CONTAINER_STOPPED_EVENT,
  ContainerEventType.CONTAINER_DELETED_EVENT,
];

interface Watch {
  /** Of one object, in the order in which they came. */
  readonly of: (id: string) => ContainerEventResponse[];
  readonly until: (id: string, type: ContainerEventType) => Promise<ContainerEventResponse>;
}

async function watch(t: Trial): Promise<Watch> {
  const events: ContainerEventResponse[] = [];
  const stream = t.stage.runtimeStreams.getContainerEvents({});
  // ends with our cancel, which is how every such stream ends
  void (async () => {
    for await (const event of stream) events.push(event);
  })().catch(() => {});
  t.after(async () => stream.cancel());
  await stream.opened;
  const of: Watch['of'] = (id) => events.filter(({ containerId }) => containerId === id);
  return {
    of,
    until: async (id, type) =>
      await eventually(`event ${type} of ${id}`, () =>
        of(id).find((event) => event.containerEventType === type),
      ),
  };
}

const types = (events: readonly ContainerEventResponse[]): ContainerEventType[] =>
  events.map(({ containerEventType }) => containerEventType);

export const events: Group = {
  title: 'Events',
  perHandler: false,
  rows: [
    row('order', 'of a container: created, started, stopped, deleted, each once', async (t) => {
      const seen = await watch(t);
      const { id } = await t.run({ command: ['true'] });
      await t.runtime.removeContainer({ containerId: id });
      await seen.until(id, DELETED);
      same(types(seen.of(id)), [CREATED, STARTED, STOPPED, DELETED]);
    }),
    row('order', 'of a pod itself: created, started, stopped, deleted', async (t) => {
      const seen = await watch(t);
      const { id } = await t.pod();
      await t.stage.removePod(id);
      await seen.until(id, DELETED);
      same(types(seen.of(id)), [CREATED, STARTED, STOPPED, DELETED]);
    }),
    row('order', "created_at of a pod's events does not go back", async (t) => {
      const seen = await watch(t);
      const { id } = await t.run({ command: ['true'] });
      await t.runtime.removeContainer({ containerId: id });
      await seen.until(id, DELETED);
      const times = seen.of(id).map(({ createdAt }) => createdAt);
      same(
        times.every((time, at) => at === 0 || time >= (times[at - 1] ?? 0n)),
        true,
      );
    }),
    row('content', "an event carries the pod's status and the container's own (K)", async (t) => {
      const seen = await watch(t);
      const id = await t.start();
      const event = await seen.until(id, STARTED);
      same(event.podSandboxStatus?.id, (await t.plain()).id);
      holds(
        event.containersStatuses.some(
          (one) => one.id === id && one.state === ContainerState.CONTAINER_RUNNING,
        ),
        'not its own',
      );
    }),
    row('content', 'the stop carries the exit code', async (t) => {
      const seen = await watch(t);
      const { id } = await t.run({ command: ['sh', '-c', 'exit 7'] });
      const event = await seen.until(id, STOPPED);
      same(event.containersStatuses.find((one) => one.id === id)?.exitCode, 7);
    }),
    row('no loss', '30 containers that end at once: a stop for each', async (t) => {
      const seen = await watch(t);
      const ids = await Promise.all(
        Array.from({ length: 30 }, async () => (await t.run({ command: ['true'] })).id),
      );
      for (const id of ids) await seen.until(id, STOPPED);
      same(
        ids.filter((id) => types(seen.of(id)).join() !== [CREATED, STARTED, STOPPED].join()),
        [],
      );
    }),
    row('many', 'two clients see the same', async (t) => {
      const [one, two] = await Promise.all([watch(t), watch(t)]);
      const { id } = await t.run({ command: ['true'] });
      await Promise.all([one.until(id, STOPPED), two.until(id, STOPPED)]);
      same(types(one.of(id)), types(two.of(id)));
    }),
    row('truth', 'no event comes before its effect is in ContainerStatus', async (t) => {
      const seen = await watch(t);
      const id = await t.start({ command: ['true'] });
      await seen.until(id, STOPPED);
      same((await t.status(id)).state, ContainerState.CONTAINER_EXITED);
    }),
    row('PodSandboxStatus', "has the containers' statuses and a time while a client listens", async (t) => {
      await watch(t);
      const pod = await t.pod();
      const id = await t.start({}, pod);
      const { containersStatuses, timestamp } = await t.runtime.podSandboxStatus({ podSandboxId: pod.id });
      same(
        containersStatuses.map((one) => one.id),
        [id],
      );
      holds(timestamp > 0n, 'no time');
    }),
  ],
};
