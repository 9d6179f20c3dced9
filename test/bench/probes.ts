// A readiness probe a second in each of several pods, as the kubelet's: what an exec costs in the rhythm in which most
// are made.
import { setTimeout as delay } from 'node:timers/promises';
import { type DaemonPod, execTrue, startPod } from './daemon-pods.ts';
import type { FloorPod } from './floor.ts';
import { type Sides, spending, times } from './pairs.ts';
import type { Setting } from './setting.ts';

export const PROBED = { pods: 10, seconds: 20 } as const;
const PERIOD_MS = 1000;

export interface Probes {
  /** ms of each. */
  readonly daemon: readonly number[];
  readonly floor: readonly number[];
  /** ms of processor time of an exec: the daemon's own, of all its side's processes, of the floor's. */
  readonly cpu: { readonly daemon: number; readonly all: number; readonly floor: number };
}

/** The same rhythm for the daemon's pods and for the floor's, one after the other. */
export async function probes({ world, image, floor }: Sides, setting: Setting): Promise<Probes> {
  const pid = world.instance.pid();
  const pods: DaemonPod[] = [];
  for (let n = 0; n < PROBED.pods; n += 1) pods.push(await startPod(world, image, 'pod', setting));
  const ofDaemon = await inRhythm(pid, (n) => execTrue(world, pods[n]?.containerId ?? ''));
  for (const pod of pods) await pod.stop();
  const bare: FloorPod[] = [];
  for (let n = 0; n < PROBED.pods; n += 1) bare.push(await floor.start('pod', setting));
  const ofFloor = await inRhythm(pid, (n) => floor.exec(bare[n]?.id ?? '', ['true']));
  for (const pod of bare) await pod.stop();
  return {
    daemon: ofDaemon.took,
    floor: ofFloor.took,
    cpu: {
      daemon: ofDaemon.spent.daemon / ofDaemon.took.length,
      all: (ofDaemon.spent.machine - ofDaemon.spent.self) / ofDaemon.took.length,
      floor: (ofFloor.spent.machine - ofFloor.spent.daemon) / ofFloor.took.length,
    },
  };
}

/** One probe a second in each pod, the pods spread over it; a late one delays only the next of its own pod. */
async function inRhythm(pid: number, probe: (n: number) => Promise<number>) {
  const took: number[] = [];
  const spent = spending(pid);
  const beganAt = performance.now();
  const ofPod = async (n: number): Promise<void> => {
    for (let second = 0; second < PROBED.seconds; second += 1) {
      const dueAt = beganAt + (second + n / PROBED.pods) * PERIOD_MS;
      await delay(Math.max(0, dueAt - performance.now()));
      took.push(await probe(n));
    }
  };
  await Promise.all(times(PROBED.pods, ofPod));
  return { took, spent: spent() };
}
