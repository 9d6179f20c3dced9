/** The stage of the runtime suite over the twin. */
import type { ExitFact } from '../../src/ports/journal.ts';
import type { SandboxInput } from '../../src/ports/host.ts';
import type { RuntimePort } from '../../src/ports/runtime.ts';
import type { ContainerId } from '../../src/base/ids.ts';
import type { Behaviour, RuntimeStage, ContainerRequest } from '../conformance/runtime-stage.ts';
import { machine } from './conformance-machine.ts';
import { exitFact } from './kernel.ts';
import type { Kernel, Program } from './kernel.ts';
import { runtimeTwin } from './runtime-twin.ts';
import { WORLD } from './scheduler.ts';
import { containerSpec } from './specs.ts';
import { imageOf, REFERENCES } from './storage-images-twins.ts';
import { fxOf } from '../support/fx.ts';

const ENDLESS = { livesMs: undefined, exitCode: 0, stubborn: false, memoryBytes: 1n << 20n } as const;
const PROGRAMS: Readonly<Record<Behaviour, Program>> = {
  speaks: { ...ENDLESS, lines: 1, lastLines: 0 },
  stubborn: { ...ENDLESS, stubborn: true, lines: 0, lastLines: 0 },
  seven: { ...ENDLESS, livesMs: 0, exitCode: 7, lines: 1, lastLines: 0 },
  zero: { ...ENDLESS, livesMs: 0, lines: 1, lastLines: 0 },
  hungry: { ...ENDLESS, isHungry: true, lines: 0, lastLines: 0 },
};
/** Virtual milliseconds in which a call has begun to hang. */
const HANGING_MS = 100;

/** Makes it; the sandbox has its files. */
export async function runtimeTwinStage(): Promise<RuntimeStage> {
  const { scheduler, kernel, outside, driven, sandbox } = machine();
  const pod = sandbox(1);
  kernel.files.add(pod.id);
  const reported = new Map<ContainerId, ExitFact[]>();
  const programs = new Map<string, Program>();
  kernel.program = (id) => programs.get(id) ?? ENDLESS;
  const newPort = (): RuntimePort => {
    scheduler.nextEpoch();
    const port = runtimeTwin(kernel, outside, scheduler.epoch);
    port.onExit((id, exit) => void reported.set(id, [...(reported.get(id) ?? []), exit]));
    return driven(port);
  };
  const step = async (poll: () => boolean | Promise<boolean>): Promise<void> => {
    while (!(await poll())) if (!(await scheduler.step())) throw new Error('nothing can happen any more');
  };
  let made = 0;
  let port = newPort();
  const container = (behaviour: Behaviour): ContainerRequest => {
    const request = requestFor(pod, (made += 1));
    programs.set(request.id, PROGRAMS[behaviour]);
    kernel.rootfs.set(request.id, { mounted: true, layers: [], files: 0 });
    return request;
  };
  const stage: RuntimeStage = {
    get port() {
      return port;
    },
    restart: async () => {
      port = newPort();
    },
    container,
    pause: { id: pod.id, sandbox: pod.spec },
    reported: (id) => reported.get(id) ?? [],
    until: step,
    spoil: (_verb, how) => void (outside.rates[how === 'hangs' ? 'hang' : 'error'] = 1),
    heal: () => void Object.assign(outside.rates, { hang: 0, error: 0 }),
    whenHanging: (act) => void scheduler.after(WORLD, HANGING_MS, act),
    killMonitor: (id) => kernel.kill('monitor', id),
    killInit: ({ id }) => kernel.endInit(id, 137),
    killPause: () => kernel.kill('pause', pod.id),
    strayExit: (id, code) => void kernel.exitFiles.set(id, exitFact(code, scheduler.nowNs())),
    speak: async (one) => {
      kernel.speak(one.id);
      await step(() => kernel.logs.of(one.id)?.pipe.length === 0);
    },
    lines: ({ id }) => ({ rotated: kernel.logs.of(id)?.rotated ?? [], current: kernel.logs.of(id)?.current }),
    rotate: ({ id }) => kernel.logs.rotate(id),
    memoryLimit: ({ id }) => kernel.limits.get(id)?.memoryLimitBytes,
    close: async () => {
      stage.heal();
      for (const { id } of (await port.observe(FX)).containers)
        await port.destroy({ ...container('zero'), id }, FX);
      await port.destroyPause(stage.pause, FX);
      refuseLeftovers(kernel);
    },
  };
  return stage;
}

/** Throws when more than files and root file systems is there. */
export function refuseLeftovers(kernel: Kernel): void {
  const left = kernel.objects().filter(({ kind }) => kind !== 'files' && kind !== 'rootfs');
  if (left.length > 0)
    throw new Error(`left: ${left.map(({ kind, owner }) => `${kind} of ${owner}`).join(', ')}`);
}

/** The request for the n-th container. */
export function requestFor(pod: SandboxInput, n: number): ContainerRequest {
  const [image] = REFERENCES.map(imageOf);
  if (image === undefined) throw new Error('no image');
  return {
    id: n.toString(16).padStart(64, '0') as ContainerId,
    handler: '',
    sandboxId: pod.id,
    sandbox: pod.spec,
    image: image.config,
    pidNamespaceOf: undefined,
    spec: containerSpec(
      { sandboxId: pod.id, name: 'c', attempt: n },
      { sharedPid: false, hostNetwork: false },
      image.id,
      '',
    ),
    effective: { uid: 0, gid: 0, supplementalGroups: [], stopSignal: 'SIGTERM', logPath: '' },
  };
}

const FX = fxOf();
