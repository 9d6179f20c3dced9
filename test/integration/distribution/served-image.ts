/** A registry in this process that has one image of one layer, and a client of it. */
import type { Descriptor } from '../../../src/oci/images/model/manifest.ts';
import type { Resolved } from '../../../src/oci/images/registry/client.ts';
import { FakeRegistry } from '../../support/registry/fake-registry.ts';
import { imageOf, layerOf, type TestImage, type TestLayer } from '../../support/registry/images.ts';
import { insecure, rigOf, type Rig } from '../../support/registry/rig.ts';

interface Served {
  readonly registry: FakeRegistry;
  readonly rig: Rig;
  readonly layer: TestLayer;
  readonly image: TestImage;
  readonly reference: string;
}

export async function serveImage(): Promise<Served> {
  const registry = await FakeRegistry.start();
  const rig = rigOf(insecure(registry.host));
  const layer = await layerOf([{ name: 'x', content: 'x'.repeat(200_000) }], 'none');
  const image = imageOf([layer]);
  registry.push('a', 'v', image);
  return { registry, rig, layer, image, reference: `${registry.host}/a:v` };
}

/** The path of a layer's blob, as requests name it. */
export const blobPath = ({ digest }: TestLayer): RegExp => new RegExp(`/blobs/${digest}$`, 'u');

export function firstLayer(resolved: Resolved): Descriptor {
  const descriptor = resolved.manifest.layers[0];
  if (descriptor === undefined) throw new Error('no layer');
  return descriptor;
}
