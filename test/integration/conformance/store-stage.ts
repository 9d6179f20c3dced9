/** The stage of the storage and images suites with overlayfs, the layer store and a registry in this process. */
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerId } from '../../../src/base/ids.ts';
import { silentLog } from '../../../src/base/log.ts';
import { createLayout } from '../../../src/host/sandbox/layout.ts';
import type { Layout } from '../../../src/host/sandbox/layout.ts';
import { Ingests } from '../../../src/oci/images/registry/ingest.ts';
import { createImagesDriver } from '../../../src/oci/images/driver.ts';
import { createStorageDriver } from '../../../src/oci/images/store/driver.ts';
import type { LayerStoreOptions } from '../../../src/oci/images/store/layer-store-options.ts';
import type { Refusal, StoreStage } from '../../conformance/store-stage.ts';
import { FakeRegistry, answer, refuse } from '../../support/registry/fake-registry.ts';
import type { Handler } from '../../support/registry/fake-registry.ts';
import { imageOf, layerOf } from '../../support/registry/images.ts';
import { amd64, insecure, rigOf } from '../../support/registry/rig.ts';
import type { Rig } from '../../support/registry/rig.ts';
import { clock, openStore } from '../unpack/support.ts';
import { fxOf } from '../../support/fx.ts';

const PATHS = { manifests: /\/manifests\//u, layers: /\/blobs\//u };

interface Trouble {
  readonly what: 'manifests' | 'layers';
  readonly how: Refusal;
}

/** The registry with its two images, and how it goes wrong. */
class Hub {
  trouble: Trouble | undefined;
  /** Called when a request came that is not answered. */
  readonly whoWaits: (() => void)[] = [];
  readonly #registry: FakeRegistry;
  readonly #layers = new Set<string>();

  private constructor(registry: FakeRegistry) {
    this.#registry = registry;
  }

  static async open(): Promise<Hub> {
    const hub = new Hub(await FakeRegistry.start());
    const [base, top, other] = await Promise.all(
      ['base', 'top', 'other'].map((name) => layerOf([{ name, content: name.repeat(1000) }], 'none')),
    );
    if (base === undefined || top === undefined || other === undefined) throw new Error('three layers');
    hub.#registry.push('sim/one', '1', imageOf([base, top]));
    hub.#registry.push('sim/two', '1', imageOf([base, other], { config: { Cmd: ['/bin/false'] } }));
    for (const { digest } of [base, top, other]) hub.#layers.add(digest);
    for (const what of ['manifests', 'layers'] as const)
      hub.#registry.on(PATHS[what], (...request) => hub.#answer(what, ...request));
    return hub;
  }

  get host(): string {
    return this.#registry.host;
  }

  get downloads(): number {
    return this.#registry.seen.filter(({ path }) => this.#isLayer(path)).length;
  }

  close(): Promise<void> {
    return this.#registry.close();
  }

  #isLayer(path: string): boolean {
    return this.#layers.has(path.split('/').at(-1) ?? '');
  }

  #answer(what: Trouble['what'], ...[request, response, serve]: Parameters<Handler>): void {
    const { trouble } = this;
    if (trouble?.what !== what || (what === 'layers' && !this.#isLayer(request.url ?? ''))) serve();
    else if (trouble.how === 'silent') for (const wake of this.whoWaits.splice(0)) wake();
    else spoiled(trouble.how)(request, response, serve);
  }
}

/** The ports over a layer store, as one daemon has them. */
interface Opened {
  readonly store: ReturnType<typeof openStore>;
  readonly storage: ReturnType<typeof createStorageDriver>;
  readonly images: ReturnType<typeof createImagesDriver>;
}

function openPorts(
  directory: string,
  client: Rig['client'],
  driver: LayerStoreOptions['driver'] | undefined,
): Opened {
  const store = openStore(directory, driver === undefined ? {} : { driver });
  const ingests = new Ingests({ directory: join(directory, 'ingest'), log: silentLog, leastBytes: 1 });
  return {
    store,
    storage: createStorageDriver({ store, clock, measureAgeMs: 0 }),
    images: createImagesDriver({ client, store, ingests, clock, platform: amd64 }),
  };
}

const namesIn = (path: string): string[] => (existsSync(path) ? readdirSync(path) : []);

type Disk = Pick<StoreStage, 'breakLayer' | 'leaveHalfPull' | 'partials' | 'write' | 'written' | 'use'>;

/** What is done to the files of the store, and seen of them. */
function diskOf(layout: Layout, paths: () => Opened['store']['paths']): Disk {
  return {
    breakLayer: (diffId) => {
      for (const name of ['diff', 'layer.erofs'])
        rmSync(join(paths().layers, diffId.slice('sha256:'.length), name), { recursive: true, force: true });
    },
    leaveHalfPull: () => {
      for (const path of [
        join(paths().partial, 'half', 'diff'),
        join(paths().layers, 'd'.repeat(64), 'diff'),
      ])
        mkdirSync(path, { recursive: true });
    },
    partials: () =>
      namesIn(paths().partial).length +
      namesIn(paths().layers).filter((name) => name === 'd'.repeat(64)).length,
    write: (id) => writeFileSync(join(layout.rootfs(id), 'written'), 'by the container'),
    written: (id) => namesIn(layout.rootfs(id)).filter((name) => name === 'written').length,
    use: (id) => {
      const fd = openSync(layout.rootfs(id), 'r');
      return () => closeSync(fd);
    },
  };
}

/** Makes it below `root`, which is cleaned by whoever made it. */
export async function realStoreStage(
  root: string,
  driver?: LayerStoreOptions['driver'],
): Promise<StoreStage> {
  const hub = await Hub.open();
  const rig = rigOf(insecure(hub.host));
  const layout = createLayout({ root: join(root, 'store'), state: join(root, 'state') });
  const open = (): Opened => openPorts(layout.root, rig.client, driver);
  let now = open();
  return {
    ...diskOf(layout, () => now.store.paths),
    get storage() {
      return now.storage;
    },
    get images() {
      return now.images;
    },
    restart: async () => {
      await now.store.settled();
      now = open();
    },
    references: {
      one: `${hub.host}/sim/one:1`,
      two: `${hub.host}/sim/two:1`,
      none: `${hub.host}/sim/none:1`,
    },
    container: (number) => number.toString(16).padStart(64, '0') as ContainerId,
    refuse: (what, how) => {
      hub.trouble = { what, how };
    },
    heal: () => {
      hub.trouble = undefined;
    },
    whenHanging: (act) => void hub.whoWaits.push(act),
    downloads: () => hub.downloads,
    swept: () => now.store.settled(),
    close: async () => {
      for (const { id } of (await now.storage.observe(FX)).rootfs)
        await now.storage.removeRootfs({ id, layers: [] }, FX);
      await now.store.settled();
      now.store.close();
      await now.store.driver.close?.();
      rig.client.close();
      await hub.close();
    },
  };
}

const FX = fxOf();

function spoiled(how: Exclude<Refusal, 'silent'>): Handler {
  if (how === 'absent') return refuse(404, 'BLOB_UNKNOWN', 'not here');
  if (how === 'denied') return refuse(403, 'DENIED', 'not for you');
  if (how === 'busy') return refuse(503, 'UNAVAILABLE', 'later');
  return answer('other bytes');
}
