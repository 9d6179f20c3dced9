/** The registry client, by the configuration: for the daemon, and for commands that ask a registry themselves. */
import type { ClockPort } from '../../ports/clock.ts';
import type { RandomPort } from '../../ports/random.ts';
import { distributionLimits } from '../../oci/images/bounds.ts';
import type { Log } from '../../base/log.ts';
import type { SecretUrl } from '../../base/secret-url.ts';
import { runTool } from '../../host/process/process-tool.ts';
import { RegistryClient } from '../../oci/images/registry/client.ts';
import { HostCertificates } from '../../oci/images/registry/host-certificates.ts';
import { loadRegistries } from '../../oci/images/registry/load-registries.ts';
import { LiveRegistries, type RegistriesPaths } from '../../oci/images/registry/live-registries.ts';
import { offeredImport } from '../../oci/images/registry/local-imports.ts';
import { takeNamespaced } from '../../oci/images/registry/namespaced-credentials.ts';
import { NodeCredentials } from '../../oci/images/registry/node-credentials.ts';
import type { RegistriesConf } from '../../oci/images/registry/registries-conf.ts';
import { Transport, type TransportOptions } from '../../oci/images/registry/transport.ts';
import type { ImagesDriverOptions } from '../../oci/images/driver.ts';
import type { Config, ConfigNow } from '../config/config-schema.ts';
import { findProgram } from './find-program.ts';

/** The node's credentials, for pulls that bring none. */
export function nodeCredentials(now: ConfigNow, clock: ClockPort): NodeCredentials {
  return new NodeCredentials({
    files: () => now().images.auth_files,
    findHelper: (program) => findProgram(program, 'credentials for a registry'),
    runTool,
    clock,
  });
}

/** Credentials that a provider has left for one pull in a namespace. */
export function namespacedCredentials(
  now: ConfigNow,
  clock: ClockPort,
): NonNullable<ImagesDriverOptions['takeCredentials']> {
  const node = nodeCredentials(now, clock);
  return (places, namespace, signal) =>
    takeNamespaced({ directory: now().images.namespaced_auth_dir, node }, places, namespace, signal);
}

/** Its settings and the content of its files take effect at once. */
export function registryClient(
  now: ConfigNow,
  registries: () => RegistriesConf,
  clock: ClockPort,
  random: RandomPort,
): RegistryClient {
  const credentials = nodeCredentials(now, clock);
  return new RegistryClient({
    clock,
    random,
    registries,
    stallMs: () => now().images.progress_timeout_ms,
    nodeCredentials: (endpoint, signal) => credentials.of(endpoint, signal),
    importSocket: (reference) => offeredImport(now().state, reference),
    ...connecting(now),
  });
}

/** Fetches from web servers that are not registries, under the same rules. */
export function webTransport(now: ConfigNow, clock: ClockPort): Transport {
  const { connectMs, headersMs, stallMs, documentMs } = distributionLimits;
  return new Transport({
    clock,
    timeouts: { connectMs, headersMs, stallMs, documentMs },
    ...connecting(now),
  });
}

function connecting(now: ConfigNow): Pick<TransportOptions, 'certificates' | 'authorities' | 'proxy'> {
  const certificates = new HostCertificates(() => now().images.certs_dirs);
  return {
    certificates: (host) => certificates.of(host),
    authorities: (registry) => certificates.authoritiesOf(registry),
    proxy: () => {
      const { http_proxy: http, https_proxy: https, no_proxy: none } = now().images;
      if (http === '' && https === '') return undefined;
      return { HTTP_PROXY: revealed(http), HTTPS_PROXY: revealed(https), NO_PROXY: none };
    },
  };
}

function revealed(url: SecretUrl | ''): string {
  return url === '' ? '' : url.reveal();
}

/** The present content of registries.conf and its drop-ins. */
export function registriesOf(config: Config): Promise<RegistriesConf> {
  return loadRegistries(registriesPaths(config));
}

/** Paths of registries.conf and its drop-ins. */
export function registriesPaths({ images }: Config): RegistriesPaths {
  return { file: images.registries_conf, directory: images.registries_conf_dir };
}

/** registries.conf and its drop-ins, watched until it is closed. */
export async function liveRegistries(config: Config, clock: ClockPort, log: Log): Promise<LiveRegistries> {
  const live = new LiveRegistries(clock, log);
  const apply = await live.prepare(registriesPaths(config));
  apply();
  return live;
}
