/**
 * The registry client (distribution spec 1.1, pull). It resolves a reference to a manifest, a platform and a config,
 * and fetches layers. All content is checked against the digest by which it was requested. Digests are computed from
 * the received bytes, never taken from a header (F61). The client does not use HEAD: content could change before the
 * GET.
 */
import { fail, FaultError, type Fault } from '../../../base/fault.ts';
import type { Digest } from '../../../base/ids.ts';
import { imageLimits } from '../../bounds.ts';
import { distributionLimits } from '../bounds.ts';
import type { ClockPort } from '../../../ports/clock.ts';
import type { PullAuth, RegistryAuth } from '../../../ports/images.ts';
import type { RandomPort } from '../../../ports/random.ts';
import { acceptedManifestTypes, parseManifest, type Descriptor, type Manifest } from '../model/manifest.ts';
import { formatPlatform, type Platform } from '../model/platform.ts';
import { choosePlatform } from '../model/choose-platform.ts';
import { formatReference, parseReference, type ImageReference } from '../model/reference.ts';
import { signedPayload } from '../model/schema1.ts';
import { belongTo, ownedCredentials, type Credentials } from './auth.ts';
import { fetchBlob, lastOf, type BlobOptions } from './blob.ts';
import { candidates, endpointsOf, insecureHosts, repositoryEndpoints, type Endpoint } from './endpoints.ts';
import { imageForm, sha256, type ImageForm } from './image-form.ts';
import type { RegistriesConf } from './registries-conf.ts';
import { unavailable } from './registry-fault.ts';
import { RegistrySession } from './session.ts';
import { TransportError } from './transport-error.ts';
import { Transport, type Timeouts, type TransportOptions } from './transport.ts';

export interface ClientOptions {
  readonly clock: ClockPort;
  readonly random: RandomPort;
  /** Called at each pull, so that a reload takes effect. */
  readonly registries: () => RegistriesConf;
  readonly timeouts?: Partial<Timeouts>;
  /** In place of that timeout, called at each use. */
  readonly stallMs?: () => number;
  readonly certificates?: TransportOptions['certificates'];
  readonly authorities?: TransportOptions['authorities'];
  readonly proxy?: TransportOptions['proxy'];
  /** Credentials stored on the node, for pulls without credentials in the request. */
  readonly nodeCredentials?: (endpoint: Endpoint, signal: AbortSignal) => Promise<RegistryAuth | undefined>;
  readonly lookup?: TransportOptions['lookup'];
  /** The Unix socket of a running import of this reference, or undefined. See local-imports.ts. */
  readonly importSocket?: (reference: ImageReference) => Promise<string | undefined>;
}

export interface ResolveInput {
  /** As written in the request. */
  readonly reference: string;
  readonly auth: PullAuth | undefined;
  readonly platform: Platform;
}

export interface Resolved extends ImageForm {
  readonly handle: PullHandle;
  /** The candidate that was found. */
  readonly reference: ImageReference;
  /** Digest of the document that the reference names: an index or a manifest. */
  readonly manifestDigest: Digest;
  /** Digest of the manifest for the platform; equal to `manifestDigest` without an index. */
  readonly platformManifestDigest: Digest;
}

/** Where credentials for one pull may have been left, and who may receive them. */
export interface PullPlaces {
  /** The names that the image may have. The first is the kubelet's: it knows no other registry for a short name. */
  readonly names: readonly ImageReference[];
  /** All mirrors and registries of these names. */
  readonly endpoints: readonly Endpoint[];
}

export type FetchOptions = Omit<BlobOptions, 'attempted' | 'unopened'>;

/** A reference with its endpoints and their tokens. Opaque, so that no token gets into a log. */
export class PullHandle {
  readonly reference: ImageReference;
  /** Of the endpoints that have no session, since their credentials could not be got. */
  readonly unopened: readonly Fault[];
  readonly #sessions: readonly RegistrySession[];

  constructor(
    reference: ImageReference,
    sessions: readonly RegistrySession[],
    unopened: readonly Fault[] = [],
  ) {
    this.reference = reference;
    this.unopened = unopened;
    this.#sessions = sessions;
  }

  /** In the order to try: mirrors as configured, then the registry. */
  sessions(): readonly RegistrySession[] {
    return this.#sessions;
  }

  /** The same handle with the endpoint that answered first in order. */
  startingAt(session: RegistrySession): PullHandle {
    const others = this.#sessions.filter((other) => other !== session);
    return new PullHandle(this.reference, [session, ...others], this.unopened);
  }
}

export class RegistryClient {
  readonly #options: ClientOptions;
  readonly #transport: Transport;
  readonly #timeouts: Timeouts;

  constructor(options: ClientOptions) {
    this.#options = options;
    const { connectMs, headersMs, stallMs, documentMs } = distributionLimits;
    const fixed = { connectMs, headersMs, stallMs, documentMs, ...options.timeouts };
    this.#timeouts = {
      ...fixed,
      get stallMs() {
        return options.stallMs?.() ?? fixed.stallMs;
      },
    };
    this.#transport = new Transport({
      clock: options.clock,
      timeouts: this.#timeouts,
      ...(options.lookup === undefined ? {} : { lookup: options.lookup }),
      ...(options.certificates === undefined ? {} : { certificates: options.certificates }),
      ...(options.authorities === undefined ? {} : { authorities: options.authorities }),
      ...(options.proxy === undefined ? {} : { proxy: options.proxy }),
    });
  }

  /** What `candidates` goes by. */
  get naming(): RegistriesConf {
    return this.#options.registries();
  }

  /**
   * The references that a name may mean by the current registries.conf, in the order to try. Throws `invalidRequest`.
   */
  candidates(text: string): readonly ImageReference[] {
    return candidates(text, this.#options.registries());
  }

  /** By the current registries.conf. Throws `invalidRequest`. */
  places(text: string): PullPlaces {
    const conf = this.#options.registries();
    const references = candidates(text, conf);
    const endpoints = references.flatMap((reference) => {
      try {
        return repositoryEndpoints(reference, conf);
      } catch (error) {
        // a blocked candidate does not rule out the next one
        if (error instanceof FaultError) return [];
        throw error;
      }
    });
    return { names: [parseReference(text), ...references], endpoints };
  }

  /** Closes all connections. */
  close(): void {
    this.#transport.close();
  }

  /**
   * Finds endpoints and credentials of a reference without contacting a registry. An endpoint whose credentials cannot
   * be got is left out. Throws `invalidRequest`, `denied` (blocked), and the fault of the credentials where no endpoint
   * is left.
   */
  async open(
    reference: ImageReference,
    auth: PullAuth | undefined,
    signal: AbortSignal,
  ): Promise<PullHandle> {
    const socketPath = await this.#options.importSocket?.(reference);
    if (socketPath !== undefined) return new PullHandle(reference, [this.#importing(reference, socketPath)]);
    const conf = this.#options.registries();
    const owned = ownedCredentials(auth?.brought, reference.host);
    const hosts = insecureHosts(conf);
    const sessions: RegistrySession[] = [];
    const unopened: Fault[] = [];
    for (const endpoint of endpointsOf(reference, conf)) {
      try {
        sessions.push(
          new RegistrySession({
            endpoint,
            // the request's credentials go only to their host; other endpoints, such as mirrors, get what was left for
            // them, or the node's
            credentials:
              owned !== undefined && belongTo(owned, endpoint)
                ? owned.credentials
                : (depositedFor(endpoint, auth) ?? (await this.#stored(endpoint, signal))),
            insecureHosts: hosts,
            transport: this.#transport,
            clock: this.#options.clock,
            random: this.#options.random,
          }),
        );
      } catch (error) {
        // a mirror's broken helper does not rule out the registry, nor the registry's its mirrors
        if (!(error instanceof FaultError) || signal.aborted) throw error;
        unopened.push(error.fault);
      }
    }
    if (sessions.length === 0) throw lastOf(unopened, `pull ${formatReference(reference)}`);
    return new PullHandle(reference, sessions, unopened);
  }

  /** A session with an import's socket. It is used like a registry, so that its content gets the same checks. */
  #importing({ host, repository }: ImageReference, socketPath: string): RegistrySession {
    const { clock, random } = this.#options;
    const endpoint = { host, repository, insecure: true, mirror: false };
    const transport = new Transport({ clock, timeouts: this.#timeouts, socketPath });
    return new RegistrySession({
      endpoint,
      scheme: 'http',
      credentials: undefined,
      insecureHosts: new Set(),
      transport,
      clock,
      random,
    });
  }

  /** The node's credentials for this endpoint; a mirror's may differ from the registry's. */
  async #stored(endpoint: Endpoint, signal: AbortSignal): Promise<Credentials | undefined> {
    const auth = await this.#options.nodeCredentials?.(endpoint, signal);
    return ownedCredentials(auth, endpoint.host)?.credentials;
  }

  /**
   * Resolves a reference to the image for the platform.
   * @throws FaultError `invalidRequest`, `denied`, `notFound`, `unsupported`, `cancelled`, or `outside` (its message
   *   starts with `RegistryUnavailable:` if the registry could not be reached or failed)
   */
  async resolve(input: ResolveInput, signal: AbortSignal): Promise<Resolved> {
    const faults: Fault[] = [];
    const note = (error: unknown): void => {
      if (!(error instanceof FaultError) || signal.aborted) throw error;
      faults.push(error.fault);
    };
    for (const reference of this.candidates(input.reference)) {
      // a blocked candidate does not rule out the next one
      const handle = await this.open(reference, input.auth, signal).catch(note);
      if (handle === undefined) continue;
      faults.push(...handle.unopened);
      for (const session of handle.sessions()) {
        try {
          return await this.#resolveAt(session, handle, input.platform, signal);
        } catch (error) {
          note(error);
        }
      }
    }
    throw lastOf(faults, `pull ${input.reference}`);
  }

  /** Downloads a blob into the sink and verifies it. Throws a FaultError that names the blob and the hosts. */
  async fetchBlob(handle: PullHandle, options: FetchOptions): Promise<void> {
    const attempted = `pull ${formatReference(handle.reference)}: layer ${options.descriptor.digest}`;
    await fetchBlob(
      handle.sessions(),
      { ...options, attempted, unopened: handle.unopened },
      this.#options.clock,
    );
  }

  async #resolveAt(
    session: RegistrySession,
    handle: PullHandle,
    platform: Platform,
    signal: AbortSignal,
  ): Promise<Resolved> {
    const { reference } = handle;
    const pull = `pull ${formatReference(reference)}`;
    const chosen = await new ManifestWalk(session, pull, platform, signal).from(reference);
    const form = await imageForm({
      session,
      pull,
      signal,
      digest: chosen.digest,
      manifest: chosen.manifest,
      wanted: chosen.isGuess ? platform : undefined,
      clock: this.#options.clock,
    });
    return {
      ...form,
      handle: handle.startingAt(session),
      reference,
      manifestDigest: chosen.topDigest,
      platformManifestDigest: chosen.digest,
    };
  }
}

/** What was left for one pull at this endpoint, if anything was. */
function depositedFor({ host, repository }: Endpoint, auth: PullAuth | undefined): Credentials | undefined {
  const own = auth?.deposited.find((one) => one.host === host && one.repository === repository);
  return ownedCredentials(own?.auth, host)?.credentials;
}

interface Chosen {
  readonly topDigest: Digest;
  readonly digest: Digest;
  readonly manifest: Manifest;
  /** Whether the index entry that led here states no platform, so that the config must be checked. */
  readonly isGuess: boolean;
}

/** Follows a tag or digest through indexes to one manifest. */
class ManifestWalk {
  readonly #session: RegistrySession;
  readonly #pull: string;
  readonly #platform: Platform;
  readonly #signal: AbortSignal;

  constructor(session: RegistrySession, pull: string, platform: Platform, signal: AbortSignal) {
    this.#session = session;
    this.#pull = pull;
    this.#platform = platform;
    this.#signal = signal;
  }

  async from(reference: ImageReference): Promise<Chosen> {
    const top = await this.#get(reference.digest ?? reference.tag ?? '', reference.digest, undefined);
    let current = top;
    let isGuess = false;
    for (let depth = 0; depth <= imageLimits.indexDepth; depth += 1) {
      const { document, digest } = current;
      if (document.kind !== 'index') return { topDigest: top.digest, digest, manifest: document, isGuess };
      const entry = choosePlatform(document.entries, this.#platform);
      if (entry === undefined) {
        const offered = document.entries.map(({ platform }) =>
          platform === undefined ? '?' : formatPlatform(platform),
        );
        return fail(
          'notFound',
          `${this.#pull}: no image for ${formatPlatform(this.#platform)}; available: ${offered.slice(0, 16).join(', ')}`,
        );
      }
      // a nested index may state the platform that the outer one leaves open
      isGuess = entry.platform === undefined;
      current = await this.#get(entry.digest, entry.digest, entry);
    }
    return fail('outside', `${this.#pull}: indexes are nested more than ${imageLimits.indexDepth} deep`);
  }

  /** @param wanted digest that the bytes must have; undefined for a tag */
  async #get(
    tagOrDigest: string,
    wanted: Digest | undefined,
    descriptor: Descriptor | undefined,
  ): Promise<{ digest: Digest; document: ReturnType<typeof parseManifest> }> {
    const session = this.#session;
    const host = session.endpoint.host;
    const attempted = `${this.#pull}: manifest ${tagOrDigest}`;
    const { bytes: sent, headers } = await this.#document(tagOrDigest, attempted);
    const bytes = signedPayload(sent, attempted);
    const digest = sha256(bytes);
    if (wanted !== undefined && digest !== wanted) {
      fail('outside', `${attempted}: ${host} sent a document with the digest ${digest}`);
    }
    const stated = headers['docker-content-digest'];
    if (stated !== undefined && stated !== digest) {
      fail(
        'outside',
        `${attempted}: ${host} sent a document with the digest ${digest}, but its header states another`,
      );
    }
    if (descriptor !== undefined && bytes.byteLength !== descriptor.size) {
      fail(
        'outside',
        `${attempted}: ${host} sent ${bytes.byteLength} bytes, the index says ${descriptor.size}`,
      );
    }
    const contentType = headers['content-type'] ?? '';
    const document = parseManifest(bytes, contentType, attempted);
    if (descriptor !== undefined && document.mediaType !== descriptor.mediaType) {
      fail(
        'outside',
        `${attempted}: its media type is ${document.mediaType}, the index says ${descriptor.mediaType}`,
      );
    }
    return { digest, document };
  }

  async #document(tagOrDigest: string, attempted: string) {
    const session = this.#session;
    const headers = { accept: acceptedManifestTypes.join(', ') };
    try {
      return await session.ask(
        { path: `manifests/${tagOrDigest}`, headers, signal: this.#signal, attempted },
        async (response) => {
          if (response.status !== 200) await session.refuse(response, attempted);
          return { bytes: await response.body.whole(imageLimits.documentBytes), headers: response.headers };
        },
      );
    } catch (error) {
      if (error instanceof TransportError) unavailable(attempted, error.message);
      throw error;
    }
  }
}
