/** PolicyPort: the policy's files, the signatures wherever they lie, and what is kept of them. */
import type { ClockPort } from '../../../ports/clock.ts';
import type { RegistryAuth } from '../../../ports/images.ts';
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
import type { Evidence, KeptSignatures } from './kept-signatures.ts';
import { fetchLookaside } from './lookaside.ts';
import type { PolicyFiles } from './policy-files.ts';
import type { Requirement } from './policy.ts';
import { loadRegistriesD, placesOf } from './registries-d.ts';
import { requirementsFor } from './scopes.ts';
import type { Signature } from './signature.ts';

export interface PolicyDriverOptions {
  readonly files: PolicyFiles;
  readonly kept: KeptSignatures;
  readonly gpgv: Pick<Gpgv, 'open'>;
  readonly client: RegistryClient;
  /** For lookaside stores on the web. */
  readonly transport: Pick<Transport, 'send'>;
  /** Whether the operator calls a `host[:port]` insecure. */
  readonly isInsecure: (host: string) => boolean;
  /** Directory of registries.d; '' for none. */
  readonly places: string;
  readonly platform: Platform;
  readonly clock: ClockPort;
}

/** First word of a refusal (ErrSignatureValidationFailed of cri-api); `cri/call/status.ts` moves it to the front. */
const WORD = 'SignatureValidationFailed: ';

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
        const place = { at: withDigest(reference, image.manifestDigest), digests, auth };
        const evidence = {
          digests,
          signatures: await new Search(options, attempted, signal).find(requirements, reference, place),
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
        // an image without a name is nobody's: only the default can speak of it
        if (!isAccepted(policy.default, attempted))
          refuse(attempted, 'it has no name that a signature could be for');
      });
    },
  };
}

/** Names that speak for the image: the one that the pod named, or each that it has; a short name by where the image is from. */
function namesOf(
  client: RegistryClient,
  reference: string,
  { repoTags, repoDigests }: ImageRecord,
): readonly ImageReference[] {
  const own = [...repoTags, ...repoDigests].map(parseReference);
  // an id, as crictl names what PullImage gave it, is no name
  if (
    reference === '' ||
    parseImageId(reference) !== undefined ||
    parseImageId(`sha256:${reference}`) !== undefined
  )
    return own;
  const meant = client.candidates(reference);
  const here = meant.filter((one) => own.some((name) => repositoryOf(name) === repositoryOf(one)));
  return (here.length > 0 ? here : meant).slice(0, 1);
}

interface Again {
  readonly name: ImageReference;
  readonly requirements: readonly Requirement[];
  readonly image: ImageRecord;
  readonly namespace: string;
  readonly attempted: string;
  readonly signal: AbortSignal;
}

function keptFor({ name, image, namespace }: Again): KeptFor {
  return { id: image.id, repository: repositoryOf(name), namespace };
}

/** By the signatures that are kept, then by those that the registry has now. */
async function refusedAgain(options: PolicyDriverOptions, again: Again): Promise<string | undefined> {
  const { name, image } = again;
  // an unreadable directory costs a question to the registry, and no pod (F89)
  const kept = await options.kept.of(keptFor(again)).catch(() => undefined);
  if (kept !== undefined && (await judge(options, again, kept)) === undefined) {
    await options.kept.used(keptFor(again), nowMsOf(options)).catch(() => undefined);
    return undefined;
  }
  const known = manifestsOf(image, name);
  if (known.length === 0)
    return `it was not pulled from ${repositoryOf(name)}, so no signature of that repository can be looked for`;
  const reasons: (string | FaultError)[] = [];
  for (const manifest of known) {
    const refusal = await refusedNow(options, again, manifest).catch((error: unknown) => {
      if (error instanceof FaultError && !again.signal.aborted) return error;
      throw error;
    });
    if (refusal === undefined) return undefined;
    reasons.push(refusal);
  }
  // the name's own; one that the registry has no more may be anybody's
  const [own] = reasons;
  if (own instanceof FaultError) throw own;
  return own;
}

/** The image's manifests in the repository of the name, the name's own first: others may have pulled the others (S86). */
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
  { name, requirements, attempted, signal }: Again,
  { digests, signatures }: Evidence,
): Promise<string | undefined> {
  return usable(attempted, () =>
    refusalOf(requirements, { reference: name, digests }, signatures, toolsOf(options, signal)),
  );
}

/** By what the registry has now of one manifest. */
async function refusedNow(
  options: PolicyDriverOptions,
  again: Again,
  known: ImageReference,
): Promise<string | undefined> {
  const { name, requirements, image, attempted, signal } = again;
  const { imageId, manifestDigest, platformManifestDigest } = await options.client.resolve(
    { reference: formatReference(known), auth: undefined, platform: options.platform },
    signal,
  );
  if (imageId !== image.id) return `${formatReference(known)} is another image for this machine`;
  const digests = [...new Set([platformManifestDigest, manifestDigest])];
  const place = { at: known, digests, auth: undefined };
  const fresh = {
    digests,
    signatures: await new Search(options, attempted, signal).find(requirements, name, place),
  };
  const refusal = await judge(options, again, fresh);
  if (refusal === undefined) await keep(options, keptFor(again), fresh);
  return refusal;
}

interface Place {
  /** A reference whose endpoints are asked. */
  readonly at: ImageReference;
  readonly digests: readonly Digest[];
  readonly auth: RegistryAuth | undefined;
}

/** Fetches what the requirements can make use of, and nothing else. */
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
    { at, digests, auth }: Place,
  ): Promise<readonly Signature[]> {
    const { places, client, transport, isInsecure, clock } = this.#options;
    const { lookaside, attachments } = placesOf(
      await usable(this.#attempted, () => loadRegistriesD(places)),
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

/** What is kept only saves a question to the registry: a full disk is no reason against an image. */
async function keep(options: PolicyDriverOptions, wanted: KeptFor, evidence: Evidence): Promise<void> {
  await options.kept.keep(wanted, evidence, nowMsOf(options)).catch(() => undefined);
}

function nowMsOf({ clock }: PolicyDriverOptions): number {
  return Number(clock.nowNs() / 1_000_000n);
}

/** True where no signature is needed; throws where none could help. */
function isAccepted(requirements: readonly Requirement[], attempted: string): boolean {
  const decided = decidedBy(requirements);
  if (typeof decided === 'object') refuse(attempted, decided.refusal);
  return decided === 'accepted';
}

/** A policy, a key or a place that can't be used refuses, with its own reason: it must never count as none. */
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
  return fail('denied', `${WORD}${attempted}: ${reason}`);
}

function digestOf(repoDigest: string): Digest | undefined {
  return parseDigest(repoDigest.slice(repoDigest.indexOf('@') + 1));
}
