/** The signature policy, by the configuration. */
import { join } from 'node:path';
import type { ClockPort } from '../../ports/clock.ts';
import type { PolicyPort } from '../../ports/policy.ts';
import type { RandomPort } from '../../ports/random.ts';
import type { Layout } from '../../host/sandbox/layout.ts';
import { runTool } from '../../host/process/process-tool.ts';
import type { RegistryClient } from '../../oci/images/registry/client.ts';
import { insecureHosts } from '../../oci/images/registry/endpoints.ts';
import type { RegistriesConf } from '../../oci/images/registry/registries-conf.ts';
import type { Platform } from '../../oci/images/model/platform.ts';
import { createPolicyDriver } from '../../oci/images/signature/driver.ts';
import { Gpgv } from '../../oci/images/signature/gpgv.ts';
import { KeptSignatures } from '../../oci/images/signature/kept-signatures.ts';
import type { KeptOptions } from '../../oci/images/signature/kept-signatures.ts';
import { PolicyFiles } from '../../oci/images/signature/policy-files.ts';
import type { PolicyPaths } from '../../oci/images/signature/policy-files.ts';
import type { Config, ConfigNow } from '../config/config-schema.ts';
import { findProgram } from './find-program.ts';
import { webTransport } from './registry.ts';

export interface PolicyParts extends Pick<KeptOptions, 'conditions' | 'discard'> {
  readonly client: RegistryClient;
  readonly registries: () => RegistriesConf;
  readonly clock: ClockPort;
  readonly random: RandomPort;
  /** The platform that images are pulled for: policy and pull must choose the same entry of an index. */
  readonly platform: Platform;
}

/** Where the policies are. */
export function policyPaths({ images }: Config): PolicyPaths {
  return { file: images.signature_policy, directory: images.signature_policy_dir };
}

/** Opens nothing: the policy's files are read when an image is checked. */
export function policyDriver(
  now: ConfigNow,
  layout: Layout,
  { client, registries, clock, random, platform, conditions, discard }: PolicyParts,
): PolicyPort {
  return createPolicyDriver({
    files: new PolicyFiles(() => policyPaths(now())),
    kept: new KeptSignatures({ directory: join(layout.root, 'signatures'), conditions, discard }),
    gpgv: new Gpgv({
      directory: join(layout.state, 'key-rings'),
      findProgram: () => findProgram('gpgv', 'OpenPGP signatures'),
      runTool,
      random,
      clock,
    }),
    client,
    transport: webTransport(now, clock),
    isInsecure: (host) => insecureHosts(registries()).has(host),
    registriesD: () => now().images.registries_d,
    platform,
    clock,
  });
}
