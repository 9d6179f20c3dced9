/** A client over scripted registries, with what a test wants to know of a pull. */
import type { lookup as dnsLookup } from 'node:dns';
import { createSecureContext } from 'node:tls';
import type { PullAuth, RegistryAuth } from '../../../src/ports/images.ts';
import {
  RegistryClient,
  type ClientOptions,
  type Resolved,
} from '../../../src/oci/images/registry/client.ts';
import { parseRegistriesConf } from '../../../src/oci/images/registry/registries-conf.ts';
import type { Descriptor } from '../../../src/oci/images/model/manifest.ts';
import type { Platform } from '../../../src/oci/images/model/platform.ts';
import { TestClock, testRandom, testTimeouts } from './test-clock.ts';

export const amd64: Platform = { os: 'linux', architecture: 'amd64', variant: '' };

export const noAuth: RegistryAuth = {
  username: '',
  password: '',
  auth: '',
  identityToken: '',
  registryToken: '',
  serverAddress: '',
};

/** TLS with every host trusts these certificates (PEM); without any, what Node trusts. */
export function trusting(...certificates: readonly string[]): {
  readonly certificates: NonNullable<ClientOptions['certificates']>;
} {
  const context = createSecureContext({ ca: certificates.join('') });
  return { certificates: async () => context };
}

/** The request's fields, and what was left for the pull. */
export type RigAuth = Partial<RegistryAuth> & Partial<Pick<PullAuth, 'deposited'>>;

export interface Rig {
  readonly clock: TestClock;
  readonly client: RegistryClient;
  resolve(reference: string, auth?: RigAuth, platform?: Platform, signal?: AbortSignal): Promise<Resolved>;
  /** The bytes of a blob of a resolved image. */
  fetch(
    resolved: Resolved,
    descriptor: Descriptor,
    options?: { restart?: boolean; signal?: AbortSignal },
  ): Promise<Uint8Array>;
}

/** `conf` is the text of a registries.conf. */
export function rigOf(conf: string, options: Partial<ClientOptions> = {}): Rig {
  const clock = new TestClock();
  const parsed = parseRegistriesConf(conf, 'test.conf');
  const client = new RegistryClient({
    clock,
    random: testRandom,
    registries: () => parsed,
    timeouts: testTimeouts,
    ...options,
  });
  const never = new AbortController().signal;
  return {
    clock,
    client,
    resolve: (reference, auth, platform = amd64, signal = never) =>
      client.resolve({ reference, auth: auth === undefined ? undefined : pullAuth(auth), platform }, signal),
    fetch: async (resolved, descriptor, { restart = false, signal = never } = {}) => {
      let parts: Uint8Array[] = [];
      const write = (piece: Uint8Array): void => void parts.push(Uint8Array.from(piece));
      const again = (): void => {
        parts = [];
      };
      const sink = restart ? { write, restart: again } : { write };
      await client.fetchBlob(resolved.handle, { descriptor, sink, signal });
      return new Uint8Array(Buffer.concat(parts));
    },
  };
}

function pullAuth({ deposited = [], ...brought }: RigAuth): PullAuth {
  return { brought: { ...noAuth, ...brought }, deposited };
}

/** A registries.conf that calls these hosts insecure. */
export function insecure(...hosts: readonly string[]): string {
  return hosts.map((host) => `[[registry]]\nlocation = "${host}"\ninsecure = true\n`).join('');
}

/** A resolver in which every name leads to `address`. */
export function everyNameIs(address: string): typeof dnsLookup {
  const lookup = (
    _name: string,
    options: { all?: boolean },
    callback: (...args: unknown[]) => void,
  ): void => {
    const family = address.includes(':') ? 6 : 4;
    if (options.all === true) callback(null, [{ address, family }]);
    else callback(null, address, family);
  };
  return lookup as typeof dnsLookup;
}
