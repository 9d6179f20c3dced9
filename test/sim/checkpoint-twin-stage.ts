/** The stage of the checkpoints' suite over the twin. */
import type { ExitFact } from '../../src/ports/journal.ts';
import type { RuntimePort } from '../../src/ports/runtime.ts';
import type { ContainerId } from '../../src/base/ids.ts';
import type { CheckpointStage } from '../conformance/checkpoint-stage.ts';
import { created, fx } from '../conformance/runtime-stage.ts';
import type { ContainerRequest } from '../conformance/runtime-stage.ts';
import type { Kernel } from './kernel.ts';
import { checkpointTwin } from './checkpoint-twin.ts';
import type { CheckpointTwin } from './checkpoint-twin.ts';
import { machine } from './conformance-machine.ts';
import { refuseLeftovers, requestFor } from './runtime-twin-stage.ts';
import { runtimeTwin } from './runtime-twin.ts';
import { WORLD } from './scheduler.ts';

/** Virtual milliseconds in which a call has begun to hang. */
const HANGING_MS = 100;

type Archives = Pick<CheckpointStage, 'described' | 'namesIn' | 'plant' | 'isStill' | 'hasImages' | 'works'>;

/** What is seen of archives and restores, and what somebody else puts there. */
function archivesOf({ checkpoints, frozen }: Kernel): Archives {
  return {
    described: ({ id, handler, spec }, archive) => ({
      id,
      handler,
      spec,
      archive,
      logPath: '',
      createdAtNs: 1n,
      image: { id: spec.imageId, ref: spec.imageId, layers: [] },
    }),
    namesIn: (directory) =>
      [...checkpoints.archives.keys()]
        .filter((path) => path.startsWith(`${directory}/`))
        .map((path) => path.slice(directory.length + 1))
        .toSorted(),
    plant: (path) =>
      checkpoints.name(path, { imageId: '', files: 0, isWhole: false, isSynced: true, writtenNs: 0n }),
    isStill: ({ id }) => frozen.has(id),
    hasImages: ({ id }) => checkpoints.restores.get(id)?.hasImages === true,
    works: () => checkpoints.works.size,
  };
}

/** Makes it; the sandbox has its files. */
export async function checkpointTwinStage(): Promise<CheckpointStage> {
  const { scheduler, kernel, outside, driven, sandbox } = machine();
  const pod = sandbox(1);
  kernel.files.add(pod.id);
  const reported = new Map<ContainerId, ExitFact[]>();
  const open = async (): Promise<{ readonly port: CheckpointTwin; readonly runtime: RuntimePort }> => {
    scheduler.nextEpoch();
    const runtime = runtimeTwin(kernel, outside, scheduler.epoch);
    const port = driven(checkpointTwin(kernel, outside, scheduler.epoch));
    await port.open();
    runtime.onExit((id, exit) => void reported.set(id, [...(reported.get(id) ?? []), exit]));
    return { port, runtime: driven(runtime) };
  };
  let made = 0;
  let directories = 0;
  let now = await open();
  const container = (): ContainerRequest => {
    const request = requestFor(pod, (made += 1));
    kernel.rootfs.set(request.id, { mounted: true, layers: [], files: 0 });
    return request;
  };
  const stage: CheckpointStage = {
    get port() {
      return now.port;
    },
    get runtime() {
      return now.runtime;
    },
    restart: async () => {
      now = await open();
    },
    running: async () => {
      const one = await created({ port: now.runtime }, container());
      await now.runtime.start(one, fx);
      return one;
    },
    container,
    newDirectory: () => `/archives/${(directories += 1)}`,
    ...archivesOf(kernel),
    reported: (id) => reported.get(id) ?? [],
    until: async (poll) => {
      while (!poll()) if (!(await scheduler.step())) throw new Error('nothing can happen any more');
    },
    spoil: (how) => void (outside.rates[how === 'hangs' ? 'hang' : 'error'] = 1),
    heal: () => void Object.assign(outside.rates, { hang: 0, error: 0 }),
    whenHanging: (act) => void scheduler.after(WORLD, HANGING_MS, act),
    nowNs: () => scheduler.nowNs(),
    close: async () => {
      stage.heal();
      for (const { id } of (await now.runtime.observe(fx)).containers)
        await now.runtime.destroy({ ...container(), id }, fx);
      refuseLeftovers(kernel);
    },
  };
  return stage;
}
