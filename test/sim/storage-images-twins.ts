/** Layer store, root file systems and a registry with a few images that share layers. */
import type { ImagesPort, ResolvedImage } from '../../src/actors/ports/images.ts';
import type { ImageConfig } from '../../src/actors/ports/specs.ts';
import type { StoragePort } from '../../src/actors/ports/storage.ts';
import { fail } from '../../src/base/fault.ts';
import type { ContainerId, Digest, ImageId } from '../../src/base/ids.ts';
import type { Kernel } from './kernel.ts';
import type { Outside } from './outside.ts';

const USAGE = { mountpoint: '/var/lib', usedBytes: 0n, inodesUsed: 0n };

/** The store. A missing layer is the driver's refusal; a layer that is deleted below a user is a wrong. */
export function storageTwin(kernel: Kernel, outside: Outside, epoch: number): StoragePort {
  const call = outside.life(epoch);
  const done = (): void => undefined;
  return {
    mountRootfs: ({ id, layers }, fx) => {
      const make = (): void => {
        const missing = layers.find((layer) => !kernel.layers.has(layer));
        if (missing !== undefined) fail('notFound', `root file system of ${id}: layer ${missing} is not here`);
        kernel.rootfs.set(id, { mounted: false, layers });
      };
      return call('storage.mountRootfs', fx, [make, () => setMounted(kernel, id, true)], done);
    },
    unmountRootfs: ({ id }, fx) => call('storage.unmountRootfs', fx, [() => setMounted(kernel, id, false)], done),
    removeRootfs: ({ id }, fx) =>
      call('storage.removeRootfs', fx, [() => setMounted(kernel, id, false), () => kernel.rootfs.delete(id)], done),
    removeLayer: ({ diffId }, fx) => call('storage.removeLayer', fx, [() => removeLayer(kernel, diffId)], done),
    removePartials: (fx) => call('storage.removePartials', fx, [() => kernel.partials.clear()], done),
    observe: (fx) =>
      call('storage.observe', fx, [], () => ({
        layers: [...kernel.layers] as Digest[],
        rootfs: [...kernel.rootfs].map(([id, { mounted }]) => ({ id: id as ContainerId, mounted })),
      })),
    usage: (fx) => call('storage.usage', fx, [], () => ({ images: USAGE, containers: USAGE })),
  };
}

function setMounted(kernel: Kernel, id: string, mounted: boolean): void {
  const rootfs = kernel.rootfs.get(id);
  if (rootfs === undefined) return;
  if (!mounted && kernel.processOf('init', id) !== undefined) fail('outside', `unmount of ${id}: its process uses it`);
  rootfs.mounted = mounted;
}

function removeLayer(kernel: Kernel, diffId: string): void {
  for (const [id, rootfs] of kernel.rootfs) {
    if (rootfs.layers.includes(diffId)) kernel.wrongs.push(`layer ${diffId} deleted while ${id} is made of it`);
  }
  kernel.layers.delete(diffId);
}

const hex = (letter: string): string => letter.repeat(64);
const CONFIG: ImageConfig = {
  user: '', env: [], entrypoint: ['/bin/program'], cmd: [], workingDir: '', stopSignal: '', volumes: [], labels: {},
  architecture: 'amd64', os: 'linux',
};

/** Reference to the letters of its layers: a base shared by all, one shared by two. */
const REGISTRY: Readonly<Record<string, string>> = { 'sim/one:1': 'ab', 'sim/two:1': 'abc', 'sim/three:1': 'ad' };

export const REFERENCES: readonly string[] = Object.keys(REGISTRY);

function imageOf(reference: string): ResolvedImage {
  const layers = REGISTRY[reference];
  if (layers === undefined) return fail('notFound', `${reference}: the registry has no such image`);
  const number = REFERENCES.indexOf(reference) + 1;
  return {
    id: `sha256:${hex(String(number))}` as ImageId,
    repoTag: reference,
    repoDigest: `${reference.split(':', 1)[0] ?? ''}@sha256:${hex(String(number + 3))}`,
    layers: [...layers].map((letter) => ({
      digest: `sha256:${hex(letter)}` as Digest, diffId: `sha256:${hex(letter)}` as Digest, mediaType: 'tar', sizeBytes: 1,
    })),
    config: CONFIG,
    sizeBytes: layers.length,
  };
}

/** The registry. */
export function imagesTwin(kernel: Kernel, outside: Outside, epoch: number): ImagesPort {
  const call = outside.life(epoch);
  return {
    normalise: (reference) => reference,
    resolve: ({ reference }, fx) => call('images.resolve', fx, [], () => imageOf(reference)),
    fetchLayer: ({ layer }, fx) => {
      const begin = (): void => {
        if (!kernel.layers.has(layer.diffId)) kernel.partials.add(layer.diffId);
      };
      const commit = (): void => {
        kernel.layers.add(layer.diffId);
        kernel.partials.delete(layer.diffId);
      };
      return call('images.fetchLayer', fx, [begin, commit], () => undefined, () => kernel.partials.delete(layer.diffId));
    },
  };
}
