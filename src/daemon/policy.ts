/** The signature policy as the configuration says. */
import { join } from 'node:path';
import type { ClockPort } from '../actors/ports/clock.ts';
import type { PolicyPort } from '../actors/ports/policy.ts';
import type { RandomPort } from '../actors/ports/random.ts';
import type { Layout } from '../host/layout.ts';
import { runTool } from '../host/process-tool.ts';
import type { RegistryClient } from '../oci/distribution/client.ts';
import { insecureHosts } from '../oci/distribution/endpoints.ts';
import type { RegistriesConf } from '../oci/distribution/registries-conf.ts';
import type { Platform } from '../oci/image/platform.ts';
import { createPolicyDriver } from '../oci/signature/driver.ts';
import { Gpgv } from '../oci/signature/gpgv.ts';
import { KeptSignatures } from '../oci/signature/kept-signatures.ts';
import type { KeptOptions } from '../oci/signature/kept-signatures.ts';
import { PolicyFiles } from '../oci/signature/policy-files.ts';
import type { Config } from './config-schema.ts';
import { findProgram } from './find-program.ts';
import { webTransport } from './registry.ts';

export interface PolicyParts extends Pick<KeptOptions, 'conditions' | 'discard'> {
  readonly client: RegistryClient;
  readonly registries: () => RegistriesConf;
  readonly clock: ClockPort;
  readonly random: RandomPort;
  /** The one that images are pulled for: of an index, both must take the same entry. */
  readonly platform: Platform;
}

/** Its files are read when an image is looked at; nothing is opened here. */
export function policyDriver(
  config: Config,
  layout: Layout,
  { client, registries, clock, random, platform, conditions, discard }: PolicyParts,
): PolicyPort {
  const { images } = config;
  return createPolicyDriver({
    files: new PolicyFiles({ file: images.signature_policy, directory: images.signature_policy_dir }),
    kept: new KeptSignatures({ directory: join(layout.root, 'signatures'), conditions, discard }),
    gpgv: new Gpgv({
      directory: join(layout.state, 'key-rings'),
      findProgram: () => findProgram('gpgv', 'OpenPGP signatures'),
      runTool,
      random,
      clock,
    }),
    client,
    transport: webTransport(config, clock),
    isInsecure: (host) => insecureHosts(registries()).has(host),
    places: images.registries_d,
    platform,
    clock,
  });
}
