/** The stage of the storage and images suites over the twins. */
import type { ImagesPort } from '../../src/ports/images.ts';
import type { StoragePort } from '../../src/ports/storage.ts';
import type { FaultKind } from '../../src/base/fault.ts';
import type { ContainerId } from '../../src/base/ids.ts';
import type { Refusal, StoreStage } from '../conformance/store-stage.ts';
import { machine } from './conformance-machine.ts';
import { WORLD } from './scheduler.ts';
import { imagesTwin, storageTwin } from './storage-images-twins.ts';

const KINDS: Readonly<Record<Exclude<Refusal, 'silent'>, FaultKind>> = {
  absent: 'notFound',
  denied: 'denied',
  busy: 'outside',
  corrupt: 'outside',
};
/** Virtual milliseconds in which a call has begun to hang. */
const HANGING_MS = 100;

/** Makes it. */
export async function storeTwinStage(): Promise<StoreStage> {
  const { scheduler, kernel, outside, driven } = machine();
  let refused: { readonly what: 'manifests' | 'layers'; readonly kind: FaultKind } | undefined;
  const open = (): { readonly storage: StoragePort; readonly images: ImagesPort } => {
    scheduler.nextEpoch();
    const { epoch } = scheduler;
    const images = imagesTwin(kernel, outside, epoch, (what) =>
      refused?.what === what ? refused.kind : undefined,
    );
    return { storage: driven(storageTwin(kernel, outside, epoch)), images: driven(images) };
  };
  let now = open();
  return {
    get storage() {
      return now.storage;
    },
    get images() {
      return now.images;
    },
    restart: async () => {
      now = open();
    },
    references: { one: 'sim/one:1', two: 'sim/three:1', none: 'sim/none:1' },
    container: (number) => number.toString(16).padStart(64, '0') as ContainerId,
    refuse: (what, how) => {
      if (how === 'silent') outside.rates.hang = 1;
      else refused = { what, kind: KINDS[how] };
    },
    heal: () => {
      outside.rates.hang = 0;
      refused = undefined;
    },
    whenHanging: (act) => void scheduler.after(WORLD, HANGING_MS, act),
    downloads: () => kernel.downloads,
    breakLayer: (diffId) => void kernel.layers.delete(diffId),
    leaveHalfPull: () => void kernel.partials.add('half'),
    swept: () => Promise.resolve(),
    partials: () => kernel.partials.size,
    write: (id) => {
      const rootfs = kernel.rootfs.get(id);
      if (rootfs?.mounted === true) rootfs.files = 1;
    },
    written: (id) => kernel.rootfs.get(id)?.files ?? 0,
    use: (id) => {
      kernel.spawn('init', id);
      return () => kernel.kill('init', id);
    },
    close: async () => undefined,
  };
}
