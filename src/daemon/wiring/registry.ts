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
import type { Config } from '../config/config-schema.ts';
import { findProgram } from './find-program.ts';

/** The node's credentials, for pulls that bring none. */
export function nodeCredentials({ images }: Config, clock: ClockPort): NodeCredentials {
  return new NodeCredentials({
    files: () => images.auth_files,
    findHelper: (program) => findProgram(program, 'credentials for a registry'),
    runTool,
    clock,
  });
}

/** Credentials that a provider has left for one pull in a namespace. */
export function namespacedCredentials(
  config: Config,
  clock: ClockPort,
): NonNullable<ImagesDriverOptions['takeCredentials']> {
  const from = { directory: config.images.namespaced_auth_dir, node: nodeCredentials(config, clock) };
  return (references, namespace, signal) => takeNamespaced(from, references, namespace, signal);
}

/** The paths of its files are fixed at the start; their content takes effect at once. */
export function registryClient(
  config: Config,
  registries: () => RegistriesConf,
  clock: ClockPort,
  random: RandomPort,
): RegistryClient {
  const { images, state } = config;
  const credentials = nodeCredentials(config, clock);
  return new RegistryClient({
    clock,
    random,
    registries,
    timeouts: { stallMs: images.progress_timeout_ms },
    nodeCredentials: (endpoint, signal) => credentials.of(endpoint, signal),
    importSocket: (reference) => offeredImport(state, reference),
    ...connecting(images),
  });
}

/** Fetches from web servers that are not registries, under the same rules. */
export function webTransport({ images }: Config, clock: ClockPort): Transport {
  const { connectMs, headersMs, stallMs, documentMs } = distributionLimits;
  return new Transport({
    clock,
    timeouts: { connectMs, headersMs, stallMs, documentMs },
    ...connecting(images),
  });
}

function connecting(images: Config['images']): Pick<TransportOptions, 'certificates' | 'proxy'> {
  const certificates = new HostCertificates(() => images.certs_dirs);
  const proxy = {
    HTTP_PROXY: revealed(images.http_proxy),
    HTTPS_PROXY: revealed(images.https_proxy),
    NO_PROXY: images.no_proxy,
  };
  return {
    certificates: (host) => certificates.of(host),
    ...(images.http_proxy === '' && images.https_proxy === '' ? {} : { proxy }),
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
