/** Layer store, root file systems and a registry with a few images that share layers. */
import type { ImagesPort, ResolvedImage } from '../../src/ports/images.ts';
import type { PolicyPort } from '../../src/ports/policy.ts';
import type { ImageConfig } from '../../src/ports/specs.ts';
import type { FilesystemUsage, StoragePort } from '../../src/ports/storage.ts';
import type { FaultKind } from '../../src/base/fault.ts';
import { fail } from '../../src/base/fault.ts';
import type { ContainerId, Digest, ImageId } from '../../src/base/ids.ts';
import { formatReference, parseReference, repositoryOf } from '../../src/oci/images/model/reference.ts';
import type { Kernel } from './kernel.ts';
import type { Outside } from './outside.ts';

/** Of so many trees: each as large as the other. */
const usageOf = (trees: number): FilesystemUsage => ({
  mountpoint: '/var/lib',
  usedBytes: BigInt(trees),
  inodesUsed: BigInt(trees),
});

/** The store. A missing layer is the driver's refusal; a layer that is deleted below a user is a wrong. */
export function storageTwin(
  kernel: Kernel,
  outside: Outside,
  epoch: number,
  isBusy: (owner: string) => boolean = () => false,
): StoragePort {
  const call = outside.life(epoch);
  const unmount = (id: string) => (): void => {
    if (isBusy(id)) fail('outside', `unmount root file system of ${id}: EBUSY`);
    setMounted(kernel, id, false);
  };
  const done = (): void => undefined;
  return {
    mountRootfs: ({ id, layers: own, volumes = [] }, fx) => {
      const layers = [...own, ...volumes.flatMap((volume) => volume.layers)];
      const make = (): void => {
        if (kernel.rootfs.get(id)?.mounted === true) return;
        const missing = layers.find((layer) => !kernel.layers.has(layer));
        if (missing !== undefined)
          fail('notFound', `root file system of ${id}: layer ${missing} is not present`, {
            subject: missing,
          });
        // what the container wrote is there until the root file system is removed
        kernel.rootfs.set(id, { mounted: false, layers, files: kernel.rootfs.get(id)?.files ?? 0 });
      };
      return call('storage.mountRootfs', fx, [make, () => setMounted(kernel, id, true)], done);
    },
    unmountRootfs: ({ id }, fx) => call('storage.unmountRootfs', fx, [unmount(id)], done),
    removeRootfs: ({ id }, fx) =>
      call(
        'storage.removeRootfs',
        fx,
        [unmount(id), () => deleteRootfs(kernel, id, outside.scheduler.nowMs)],
        done,
      ),
    removeLayer: ({ diffId }, fx) =>
      call('storage.removeLayer', fx, [() => removeLayer(kernel, diffId, outside.scheduler.nowMs)], done),
    removePartials: (fx) => call('storage.removePartials', fx, [() => kernel.partials.clear()], done),
    observe: (fx) =>
      call('storage.observe', fx, [], () => ({
        layers: [...kernel.layers] as Digest[],
        rootfs: [...kernel.rootfs].map(([id, { mounted }]) => ({ id: id as ContainerId, mounted })),
      })),
    usage: (fx) =>
      call('storage.usage', fx, [], () => ({
        images: usageOf(kernel.layers.size),
        containers: usageOf(kernel.rootfs.size),
      })),
  };
}

function setMounted(kernel: Kernel, id: string, mounted: boolean): void {
  const rootfs = kernel.rootfs.get(id);
  if (rootfs === undefined) return;
  // the kernel takes the name away and keeps the rest for the process; no right actor does so
  if (!mounted && rootfs.mounted && kernel.processOf('init', id) !== undefined)
    kernel.wrongs.push(`unmount of ${id} while its process runs`);
  rootfs.mounted = mounted;
}

function deleteRootfs(kernel: Kernel, id: string, atMs: number): void {
  const rootfs = kernel.rootfs.get(id);
  if (rootfs !== undefined) kernel.unsynced.rootfs.set(id, { rootfs, atMs });
  kernel.rootfs.delete(id);
}

function removeLayer(kernel: Kernel, diffId: string, atMs: number): void {
  for (const [id, rootfs] of kernel.rootfs) {
    // of a container that nobody has any more
    if (!rootfs.mounted && kernel.unsynced.back.has(id)) continue;
    if (rootfs.layers.includes(diffId))
      kernel.wrongs.push(`layer ${diffId} deleted while ${id} is built from it`);
  }
  if (kernel.layers.delete(diffId)) kernel.unsynced.layers.set(diffId, atMs);
}

const hex = (letter: string): string => letter.repeat(64);
const CONFIG: ImageConfig = {
  user: '',
  env: [],
  entrypoint: ['/bin/program'],
  cmd: [],
  workingDir: '',
  stopSignal: '',
  volumes: [],
  labels: {},
  architecture: 'amd64',
  os: 'linux',
};

/** Bytes of each layer: enough to be broken off in. */
export const LAYER_BYTES = 4;

/** Reference to the letters of its layers: a base shared by all, one shared by two. */
const REGISTRY: Readonly<Record<string, string>> = {
  'sim/one:1': 'ab',
  'sim/two:1': 'abc',
  'sim/three:1': 'ad',
};

/** Images of programs. */
export const REFERENCES: readonly string[] = Object.keys(REGISTRY);

/** An image that is the checkpoint of a container of the first of those, in one layer. */
export const CHECKPOINT = 'sim/checkpoint:1';
const CHECKPOINT_LAYER = 'e';

/** What the registry says no with; undefined where it serves. */
export type Refuses = (what: 'manifests' | 'layers') => FaultKind | undefined;

/** What the registry has under a reference, by tag or by digest. */
export function imageOf(reference: string): ResolvedImage {
  const asked = parseReference(reference);
  const found = [...REFERENCES, CHECKPOINT]
    .map(imageAt)
    .find(
      ({ repoTag, repoDigest }) =>
        (asked.digest === undefined ? repoTag : repoDigest) === formatReference(asked),
    );
  if (found === undefined) return fail('notFound', `pull ${reference}: the registry has no such image`);
  return asked.digest === undefined ? found : { ...found, repoTag: '' };
}

function imageAt(reference: string, at: number): ResolvedImage {
  const asked = parseReference(reference);
  const letters = REGISTRY[reference] ?? CHECKPOINT_LAYER;
  return {
    id: `sha256:${hex(String(at + 1))}` as ImageId,
    repoTag: formatReference(asked),
    repoDigest: `${repositoryOf(asked)}@sha256:${hex(String(at + 5))}`,
    manifestDigest: `sha256:${hex(String(at + 5))}` as Digest,
    layers: [...letters].map((letter) => ({
      digest: `sha256:${hex(letter)}` as Digest,
      diffId: `sha256:${hex(letter)}` as Digest,
      mediaType: 'tar',
      sizeBytes: LAYER_BYTES,
    })),
    config: CONFIG,
    configBytes: 1,
    ...(reference === CHECKPOINT ? { checkpointOf: 'main' } : {}),
  };
}

/** What a policy decides by, beside the signatures. */
export interface PolicyMood {
  readonly refuses: () => boolean;
  readonly scope?: () => string;
  /** Nobody answers where the signatures are. */
  readonly isRegistryAway?: () => boolean;
}

/** The signature policy: one for all namespaces. Signatures are kept, and fetched again where they are lost or torn. */
export function policyTwin(
  kernel: Kernel,
  outside: Outside,
  epoch: number,
  { refuses, scope = () => '', isRegistryAway = () => false }: PolicyMood,
): PolicyPort {
  const call = outside.life(epoch);
  const fetch = (id: ImageId): void => {
    if (isRegistryAway()) fail('outside', `verify ${id}: the registry does not answer`, { retryable: true });
  };
  const decide = (id: ImageId): void => {
    if (refuses()) fail('denied', `SignatureValidationFailed: verify ${id}: the policy rejects the image`);
    kernel.signatures.set(id, { atMs: outside.scheduler.nowMs, isTorn: false });
  };
  return {
    scope,
    admit: ({ image: { id } }, fx) => call('policy.admit', fx, [() => fetch(id)], () => decide(id)),
    admitAgain: ({ image: { id } }, fx) => {
      const find = (): void => {
        if (kernel.signatures.get(id)?.isTorn === false) return;
        fetch(id);
        kernel.unsynced.lost.signatureFetched += 1;
      };
      return call('policy.admitAgain', fx, [find], () => decide(id));
    },
  };
}

type FetchParameters = Parameters<ImagesPort['fetchLayer']>;

interface Asking {
  readonly attempted: string;
  /** Throws where the registry refuses. */
  readonly ask: (what: 'manifests' | 'layers', attempted: string) => () => void;
}

/** The parts of a layer's fetch: a fault, or the end of the call, comes after any of them. */
function layerFetch(
  kernel: Kernel,
  layer: FetchParameters[0]['layer'],
  fx: FetchParameters[1],
  { attempted, ask }: Asking,
) {
  const isHere = (): boolean => kernel.layers.has(layer.diffId);
  const begin = (): void => {
    if (isHere()) return;
    kernel.downloads += 1;
    ask('layers', attempted)();
    kernel.partials.add(layer.diffId);
  };
  // one part for each byte: a fault, or the end of the call, comes after any of them, and a death may follow
  const receive = (): void => {
    const there = kernel.ingests.get(layer.digest) ?? 0;
    if (isHere()) return;
    if (there === kernel.breaksOffAt) {
      kernel.breaksOffAt = undefined;
      fail('outside', `${attempted}: the registry broke off after ${there} bytes`, { retryable: true });
    }
    if (there === layer.sizeBytes) return;
    kernel.ingests.set(layer.digest, there + 1);
    kernel.served.set(layer.digest, (kernel.served.get(layer.digest) ?? 0) + 1);
  };
  const commit = (): void => {
    if (!isHere()) {
      if (kernel.unsynced.tornIngests.delete(layer.digest)) {
        kernel.unsynced.lost.tornFound += 1;
        kernel.ingests.delete(layer.digest);
        fail('outside', `${attempted}: its digest differs`, { retryable: true });
      }
      if (kernel.ingests.get(layer.digest) !== layer.sizeBytes)
        kernel.wrongs.push(`layer ${layer.digest} is there without all of its bytes`);
      fx.onBytes(layer.sizeBytes);
    }
    kernel.layers.add(layer.diffId);
    kernel.partials.delete(layer.diffId);
  };
  return { begin, receive, commit };
}

/** The registry. */
export function imagesTwin(
  kernel: Kernel,
  outside: Outside,
  epoch: number,
  refuses: Refuses = () => undefined,
): ImagesPort {
  const call = outside.life(epoch);
  const ask = (what: 'manifests' | 'layers', attempted: string) => (): void => {
    const kind = refuses(what);
    if (kind !== undefined) fail(kind, `${attempted}: the registry refuses`);
  };
  return {
    naming: () => parseReference,
    candidates: (reference) => [formatReference(parseReference(reference))],
    takeCredentials: () => Promise.resolve([]),
    resolve: ({ reference }, fx) =>
      call('images.resolve', fx, [ask('manifests', `pull ${reference}`)], () => imageOf(reference)),
    fetchLayer: ({ reference, layer }, fx) => {
      const { begin, receive, commit } = layerFetch(kernel, layer, fx, {
        attempted: `pull ${reference}: layer ${layer.digest}`,
        ask,
      });
      const drop = (): void => void kernel.ingests.delete(layer.digest);
      // the last one finds that nothing is missing
      const bytes = Array.from({ length: layer.sizeBytes + 1 }, () => receive);
      return call(
        'images.fetchLayer',
        fx,
        [begin, ...bytes, commit, drop],
        () => layer.sizeBytes,
        () => kernel.partials.delete(layer.diffId),
      );
    },
    dropPartials: ({ keep }, fx) => {
      const drop = (): void => {
        for (const digest of kernel.ingests.keys())
          if (!keep.some((kept) => kept === digest)) kernel.ingests.delete(digest);
      };
      return call('images.dropPartials', fx, [drop], () => undefined);
    },
  };
}
