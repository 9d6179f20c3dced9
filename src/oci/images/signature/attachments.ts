/**
 * Fetches cosign's signatures from the image's own repository. They are in a manifest whose tag contains the image's
 * digest.
 */
import type { ClockPort } from '../../../ports/clock.ts';
import { ByteBlocks } from '../../../base/byte-blocks.ts';
import { fail, FaultError, type Fault } from '../../../base/fault.ts';
import type { Digest } from '../../../base/ids.ts';
import { signatureLimits } from '../bounds.ts';
import { fetchBlob } from '../registry/blob.ts';
import type { PullHandle } from '../registry/client.ts';
import { unavailable } from '../registry/registry-fault.ts';
import type { RegistrySession } from '../registry/session.ts';
import { TransportError } from '../registry/transport-error.ts';
import { parseDocument } from '../../documents/fields.ts';
import { mediaTypes, type Descriptor } from '../model/manifest.ts';
import type { Signature, SigstoreParts } from './signature.ts';

const SIGNATURE_TYPE = 'application/vnd.dev.cosign.simplesigning.v1+json';

const annotation = {
  signature: 'dev.cosignproject.cosign/signature',
  certificate: 'dev.sigstore.cosign/certificate',
  chain: 'dev.sigstore.cosign/chain',
  bundle: 'dev.sigstore.cosign/bundle',
} as const;

interface Entry {
  readonly descriptor: Descriptor;
  readonly parts: SigstoreParts;
}

/**
 * The signatures of one manifest; an empty list if no endpoint has the tag. The first endpoint with the tag counts,
 * since mirrors often have images without signatures.
 * @throws FaultError as RegistryClient.resolve, if an endpoint failed and no other one has the tag
 */
export async function fetchAttachments(
  handle: PullHandle,
  digest: Digest,
  attempted: string,
  signal: AbortSignal,
  clock: ClockPort,
): Promise<readonly Signature[]> {
  const faults: Fault[] = [...handle.unopened];
  for (const session of handle.sessions()) {
    try {
      const entries = await manifestAt(
        session,
        digest.replace(':', '-'),
        `${attempted}: signatures of ${digest}`,
        signal,
      );
      if (entries !== undefined) return await payloads(session, entries, attempted, signal, clock);
    } catch (error) {
      if (!(error instanceof FaultError) || signal.aborted) throw error;
      faults.push(error.fault);
    }
  }
  const [first] = faults;
  if (first !== undefined) throw new FaultError(first);
  return [];
}

/** The entries of the signature manifest, or undefined if the tag does not exist. */
async function manifestAt(
  session: RegistrySession,
  name: string,
  attempted: string,
  signal: AbortSignal,
): Promise<readonly Entry[] | undefined> {
  const ask = {
    path: `manifests/${name}.sig`,
    headers: { accept: `${mediaTypes.ociManifest}, ${mediaTypes.dockerManifest}` },
    signal,
    attempted,
  };
  try {
    const bytes = await session.ask(ask, async (response) => {
      if (response.status === 404) {
        response.body.discard();
        return undefined;
      }
      if (response.status !== 200) await session.refuse(response, attempted);
      return response.body.whole(signatureLimits.signatureBytes);
    });
    return bytes === undefined ? undefined : entriesIn(bytes, attempted);
  } catch (error) {
    if (error instanceof TransportError) unavailable(attempted, error.message);
    throw error;
  }
}

/** The layers that are signatures. Others, such as attestations, are skipped. */
export function entriesIn(manifest: Uint8Array, what: string): readonly Entry[] {
  const layers = parseDocument(manifest, what).objects('layers', signatureLimits.signatures);
  return layers.flatMap((layer) => {
    const mediaType = layer.text('mediaType', '');
    if (mediaType !== SIGNATURE_TYPE) return [];
    const annotations = layer.textMap('annotations');
    const part = (name: keyof typeof annotation): string => annotations[annotation[name]] ?? '';
    return [
      {
        descriptor: {
          mediaType,
          digest: layer.digest('digest'),
          size: layer.size('size', signatureLimits.signatureBytes),
        },
        parts: {
          signature: part('signature'),
          certificate: part('certificate'),
          chain: part('chain'),
          bundle: part('bundle'),
        },
      },
    ];
  });
}

async function payloads(
  session: RegistrySession,
  entries: readonly Entry[],
  attempted: string,
  signal: AbortSignal,
  clock: ClockPort,
): Promise<readonly Signature[]> {
  const bytes = entries.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
  if (bytes > signatureLimits.allBytes)
    fail(
      'outside',
      `${attempted}: the signatures have ${bytes} bytes, more than the ${signatureLimits.allBytes} allowed`,
    );
  // several signatures usually have the same payload: fetch it once
  const fetched = new Map<Digest, Uint8Array>();
  for (const { descriptor } of entries) {
    if (fetched.has(descriptor.digest)) continue;
    const kept = new ByteBlocks(attempted, signatureLimits.allBytes);
    const sink = { write: (piece: Uint8Array): void => kept.appendCopy(piece) };
    await fetchBlob(
      [session],
      { descriptor, sink, signal, attempted: `${attempted}: signature ${descriptor.digest}` },
      clock,
    );
    fetched.set(descriptor.digest, kept.takeAll());
  }
  return entries.flatMap(({ descriptor, parts }) => {
    const payload = fetched.get(descriptor.digest);
    return payload === undefined ? [] : [{ kind: 'sigstore' as const, payload, parts }];
  });
}
