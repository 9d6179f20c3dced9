/** Implements PolicyPort: reads the policy, finds the signatures of an image, verifies them and keeps them. */
import type { ClockPort } from '../../../ports/clock.ts';
import type { PullAuth } from '../../../ports/images.ts';
import type { PolicyPort } from '../../../ports/policy.ts';
import type { ImageRecord } from '../../../ports/specs.ts';
import { fail, FaultError } from '../../../base/fault.ts';
import { parseDigest, parseImageId, type Digest } from '../../../base/ids.ts';
import { signatureLimits } from '../bounds.ts';
import type { RegistryClient } from '../registry/client.ts';
import type { Transport } from '../registry/transport.ts';
import type { Platform } from '../model/platform.ts';
import {
  formatReference,
  parseReference,
  repositoryOf,
  withDigest,
  type ImageReference,
} from '../model/reference.ts';
import { untilDeadline } from '../../../host/clock/deadline.ts';
import { fetchAttachments } from './attachments.ts';
import type { Gpgv } from './gpgv.ts';
import { decidedBy, refusalOf, type Tools } from './judge.ts';
import type { KeptFor } from './kept-index.ts';
import type { SignatureEvidence, KeptSignatures } from './kept-signatures.ts';
import { fetchLookaside } from './lookaside.ts';
import type { PolicyFiles } from './policy-files.ts';
import type { Requirement } from './policy.ts';
import { loadRegistriesD, locationsOf } from './registries-d.ts';
import { requirementsFor } from './scopes.ts';
import type { Signature } from './signature.ts';

export interface PolicyDriverOptions {
  readonly files: PolicyFiles;
  readonly kept: KeptSignatures;
  readonly gpgv: Pick<Gpgv, 'open'>;
  readonly client: RegistryClient;
  /** For lookaside stores behind http or https. */
  readonly transport: Pick<Transport, 'send'>;
  /** Whether a `host[:port]` is configured as insecure. */
  readonly isInsecure: (host: string) => boolean;
  /** Directory of registries.d; '' for none. Called at each use. */
  readonly registriesD: () => string;
  readonly platform: Platform;
  readonly clock: ClockPort;
}

/**
 * Marks a refusal for the kubelet (ErrSignatureValidationFailed of cri-api). `cri/call/status.ts` moves it to the
 * front.
 */
const PREFIX = 'SignatureValidationFailed: ';

export function createPolicyDriver(options: PolicyDriverOptions): PolicyPort {
  const { files, clock } = options;
  return {
    scope: (namespace) => files.scope(namespace),
    admit: ({ namespace, auth, image }, fx) => {
      const reference = parseReference(image.repoTag === '' ? image.repoDigest : image.repoTag);
      const attempted = `verify ${formatReference(reference)}`;
      return untilDeadline(clock, fx, attempted, async (signal) => {
        fx.note({ on: `signature policy for ${formatReference(reference)}` });
        const requirements = await usable(attempted, async () =>
          requirementsFor(await files.of(namespace), reference),
        );
        if (isAccepted(requirements, attempted)) return;
        const top = digestOf(image.repoDigest);
        const digests = [...new Set([image.manifestDigest, ...(top === undefined ? [] : [top])])];
        const target = { at: withDigest(reference, image.manifestDigest), digests, auth };
        const evidence = {
          digests,
          signatures: await new Search(options, attempted, signal).find(requirements, reference, target),
        };
        const refusal = await usable(attempted, () =>
          refusalOf(requirements, { reference, digests }, evidence.signatures, toolsOf(options, signal)),
        );
        if (refusal !== undefined) refuse(attempted, refusal);
        await keep(options, { id: image.id, repository: repositoryOf(reference), namespace }, evidence);
      });
    },
    admitAgain: ({ namespace, reference, image }, fx) => {
      const attempted = `verify ${reference === '' ? image.id : reference}`;
      return untilDeadline(clock, fx, attempted, async (signal) => {
        fx.note({ on: `signature policy for ${reference === '' ? image.id : reference}` });
        const policy = await usable(attempted, () => files.of(namespace));
        const names = namesOf(options.client, reference, image);
        const reasons: string[] = [];
        for (const name of names) {
          const requirements = requirementsFor(policy, name);
          const decided = decidedBy(requirements);
          if (decided === 'accepted') return;
          const refusal =
            decided === 'undecided'
              ? await refusedAgain(options, { name, requirements, image, namespace, attempted, signal })
              : decided.refusal;
          if (refusal === undefined) return;
          reasons.push(refusal);
        }
        if (names.length > 0) refuse(attempted, reasons.join('; '));
        // no scope of the policy matches an image without a name: only the default applies
        if (!isAccepted(policy.default, attempted))
          refuse(attempted, 'the image has no name, so no signature can be for it');
      });
    },
  };
}

/**
 * The names that the policy is applied to: the one in the pod's spec, or all names of the image. A short name is
 * resolved to a candidate whose repository the image was pulled from, if there is one.
 */
function namesOf(
  client: RegistryClient,
  reference: string,
  { repoTags, repoDigests }: ImageRecord,
): readonly ImageReference[] {
  const own = [...repoTags, ...repoDigests].map(parseReference);
  // an image id, which crictl passes after PullImage, is not a name
  if (
    reference === '' ||
    parseImageId(reference) !== undefined ||
    parseImageId(`sha256:${reference}`) !== undefined
  )
    return own;
  const candidates = client.candidates(reference);
  const pulled = candidates.filter((one) => own.some((name) => repositoryOf(name) === repositoryOf(one)));
  return (pulled.length > 0 ? pulled : candidates).slice(0, 1);
}

/** A check of an image that was pulled before, under one of its names. */
interface ImageRecheck {
  readonly name: ImageReference;
  readonly requirements: readonly Requirement[];
  readonly image: ImageRecord;
  readonly namespace: string;
  readonly attempted: string;
  readonly signal: AbortSignal;
}

function keptFor({ name, image, namespace }: ImageRecheck): KeptFor {
  return { id: image.id, repository: repositoryOf(name), namespace };
}

/** Why the image is refused, by the kept signatures and then by those in the registry; undefined if it is accepted. */
async function refusedAgain(options: PolicyDriverOptions, again: ImageRecheck): Promise<string | undefined> {
  const { name, image } = again;
  // if the directory cannot be read, ask the registry instead of failing the pod (F89)
  const kept = await options.kept.of(keptFor(again)).catch(() => undefined);
  if (kept !== undefined && (await judge(options, again, kept)) === undefined) {
    await options.kept.used(keptFor(again), nowMsOf(options)).catch(() => undefined);
    return undefined;
  }
  const known = manifestsOf(image, name);
  if (known.length === 0)
    return `the image was not pulled from ${repositoryOf(name)}, so no signature of that repository can be found`;
  const reasons: (string | FaultError)[] = [];
  for (const manifest of known) {
    const refusal = await refusedNow(options, again, manifest).catch((error: unknown) => {
      if (error instanceof FaultError && !again.signal.aborted) return error;
      throw error;
    });
    if (refusal === undefined) return undefined;
    reasons.push(refusal);
  }
  // report the reason for the name's own manifest, which comes first
  const [own] = reasons;
  if (own instanceof FaultError) throw own;
  return own;
}

/**
 * The image's manifests in the repository of the name. The name's own is first: others may be pulls of other tenants
 * (S86).
 */
function manifestsOf(
  { repoDigests, sources = [] }: ImageRecord,
  name: ImageReference,
): readonly ImageReference[] {
  const asked = formatReference(name);
  const own = sources.filter(({ repoTags }) => repoTags.includes(asked)).map(({ repoDigest }) => repoDigest);
  const all = [...new Set([asked, ...own, ...repoDigests.toReversed()])].map(parseReference);
  return all
    .filter((one) => one.digest !== undefined && repositoryOf(one) === repositoryOf(name))
    .slice(0, signatureLimits.manifests);
}

function judge(
  options: PolicyDriverOptions,
  { name, requirements, attempted, signal }: ImageRecheck,
  { digests, signatures }: SignatureEvidence,
): Promise<string | undefined> {
  return usable(attempted, () =>
    refusalOf(requirements, { reference: name, digests }, signatures, toolsOf(options, signal)),
  );
}

/** Why the image is refused by the signatures that the registry has for one manifest; undefined if it is accepted. */
async function refusedNow(
  options: PolicyDriverOptions,
  again: ImageRecheck,
  known: ImageReference,
): Promise<string | undefined> {
  const { name, requirements, image, attempted, signal } = again;
  const { imageId, manifestDigest, platformManifestDigest } = await options.client.resolve(
    { reference: formatReference(known), auth: undefined, platform: options.platform },
    signal,
  );
  if (imageId !== image.id) return `${formatReference(known)} is another image on this platform`;
  const digests = [...new Set([platformManifestDigest, manifestDigest])];
  const target = { at: known, digests, auth: undefined };
  const fresh = {
    digests,
    signatures: await new Search(options, attempted, signal).find(requirements, name, target),
  };
  const refusal = await judge(options, again, fresh);
  if (refusal === undefined) await keep(options, keptFor(again), fresh);
  return refusal;
}

interface SearchTarget {
  /** Reference whose endpoints are searched. */
  readonly at: ImageReference;
  readonly digests: readonly Digest[];
  readonly auth: PullAuth | undefined;
}

/** Fetches signatures of the kinds that the requirements need. */
class Search {
  readonly #options: PolicyDriverOptions;
  readonly #attempted: string;
  readonly #signal: AbortSignal;

  constructor(options: PolicyDriverOptions, attempted: string, signal: AbortSignal) {
    this.#options = options;
    this.#attempted = attempted;
    this.#signal = signal;
  }

  async find(
    requirements: readonly Requirement[],
    reference: ImageReference,
    { at, digests, auth }: SearchTarget,
  ): Promise<readonly Signature[]> {
    const { registriesD, client, transport, isInsecure, clock } = this.#options;
    const { lookaside, attachments } = locationsOf(
      await usable(this.#attempted, () => loadRegistriesD(registriesD())),
      reference,
    );
    const found: Signature[] = [];
    if (requirements.some(({ type }) => type === 'signedBy')) {
      for (const digest of digests) {
        const store = { base: lookaside, repository: reference.repository, digest };
        found.push(...(await fetchLookaside(store, transport, isInsecure, this.#attempted, this.#signal)));
      }
    }
    if (attachments && requirements.some(({ type }) => type === 'sigstoreSigned')) {
      const handle = await client.open(at, auth, this.#signal);
      for (const digest of digests)
        found.push(...(await fetchAttachments(handle, digest, this.#attempted, this.#signal, clock)));
    }
    return found;
  }
}

function toolsOf({ gpgv, clock }: PolicyDriverOptions, signal: AbortSignal): Tools {
  return { gpgv, clock, signal };
}

/**
 * Keeps the signatures. A failure, such as a full disk, is ignored: kept signatures only save requests to the registry.
 */
async function keep(
  options: PolicyDriverOptions,
  wanted: KeptFor,
  evidence: SignatureEvidence,
): Promise<void> {
  await options.kept.keep(wanted, evidence, nowMsOf(options)).catch(() => undefined);
}

function nowMsOf({ clock }: PolicyDriverOptions): number {
  return Number(clock.nowNs() / 1_000_000n);
}

/** Returns true if no signature is needed. Throws if the policy rejects the image whatever its signatures. */
function isAccepted(requirements: readonly Requirement[], attempted: string): boolean {
  const decided = decidedBy(requirements);
  if (typeof decided === 'object') refuse(attempted, decided.refusal);
  return decided === 'accepted';
}

/** Turns a policy, key or location that cannot be used into a refusal: it must never count as missing. */
async function usable<T>(attempted: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof FaultError && error.fault.kind === 'invalidRequest')
      refuse(attempted, error.fault.message);
    throw error;
  }
}

function refuse(attempted: string, reason: string): never {
  return fail('denied', `${PREFIX}${attempted}: ${reason}`);
}

function digestOf(repoDigest: string): Digest | undefined {
  return parseDigest(repoDigest.slice(repoDigest.indexOf('@') + 1));
}
