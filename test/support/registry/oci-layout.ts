/** Writes a test image as an OCI layout, the form that skopeo copies from. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { digestOf } from './digest.ts';
import type { TestImage } from './images.ts';

export function writeOciLayout(directory: string, tag: string, image: TestImage): void {
  const blobs = join(directory, 'blobs', 'sha256');
  mkdirSync(blobs, { recursive: true });
  const put = (bytes: Uint8Array): void =>
    writeFileSync(join(blobs, digestOf(bytes).slice('sha256:'.length)), bytes);
  for (const bytes of [image.config, image.manifest, ...image.layers.map((layer) => layer.bytes)]) put(bytes);
  writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(
    join(directory, 'index.json'),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [
        {
          mediaType: image.mediaType,
          digest: digestOf(image.manifest),
          size: image.manifest.byteLength,
          annotations: { 'org.opencontainers.image.ref.name': tag },
        },
      ],
    }),
  );
}
