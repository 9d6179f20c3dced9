/**
 * `troupe inspect`: manifest and config of an image in its registry; this process asks the registry itself and pulls
 * nothing.
 */
import { cliLimits } from '../bounds.ts';
import { formatReference } from '../../oci/images/model/reference.ts';
import { realRandom } from '../../host/clock/random.ts';
import { machinePlatform } from '../wiring/machine-platform.ts';
import { registriesOf, registryClient } from '../wiring/registry.ts';
import type { Command } from './context.ts';
import { writeJson } from './context.ts';
import { EXIT } from './exit-codes.ts';

/** Needs no daemon: registries, credentials and certificates are those of the configuration. Always JSON. */
export async function inspect({ line, screen, clock, config, signal }: Command): Promise<number> {
  const [reference = ''] = line.words;
  const settings = await config();
  const registries = await registriesOf(settings);
  const client = registryClient(
    () => settings,
    () => registries,
    clock,
    realRandom(),
  );
  const ended = new AbortController();
  const timer = clock.setTimeout(
    () => ended.abort(new Error(`timed out after ${cliLimits.inspectMs} ms waiting for the registry`)),
    cliLimits.inspectMs,
  );
  try {
    const found = await client.resolve(
      { reference, auth: undefined, platform: await machinePlatform() },
      AbortSignal.any([signal, ended.signal]),
    );
    writeJson(screen, {
      reference: formatReference(found.reference),
      digest: found.manifestDigest,
      platformDigest: found.platformManifestDigest,
      id: found.imageId,
      sizeBytes: found.manifest.layers.reduce((sum, { size }) => sum + size, found.manifest.config.size),
      manifest: found.manifest,
      // an artifact has no config
      config:
        found.files === undefined
          ? (JSON.parse(Buffer.from(found.configBytes).toString('utf8')) as unknown)
          : null,
      ...(found.files === undefined ? {} : { files: found.files }),
    });
    return EXIT.ok;
  } finally {
    clock.clearTimeout(timer);
    client.close();
  }
}
