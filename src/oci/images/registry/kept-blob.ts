/**
 * Downloads a blob with its ingest file: replays the bytes in the file first, then writes new bytes to file and sink.
 */
import { createHash, type Hash } from 'node:crypto';
import type { BlobOptions, BlobSink } from './blob.ts';
import type { Incoming, Ingest, Ingests } from './ingest.ts';

type Wanted = Pick<BlobOptions, 'descriptor' | 'signal'>;
type From = Wanted & Partial<Pick<Incoming, 'source' | 'namespace'>>;
type Fetch = (options: Wanted & Pick<BlobOptions, 'sink' | 'partial'>) => Promise<void>;

/**
 * Downloads the blob and requests only the missing bytes. The received bytes stay in the ingest file whether the
 * download succeeds or not; the caller drops the file once the layer is stored.
 * @param kept receives the bytes of an earlier download
 * @param sink receives the new bytes
 */
export async function fetchKept(
  ingests: Ingests,
  fetch: Fetch,
  { source = '', namespace, ...wanted }: From,
  kept: BlobSink,
  sink: BlobSink,
): Promise<void> {
  const { digest, size } = wanted.descriptor;
  const ingest = await ingests.open({ digest, size, source, namespace });
  if (ingest === undefined) return fetch({ ...wanted, sink });
  try {
    const partial = await replay(ingest, kept, wanted.signal);
    await fetch({ ...wanted, sink: both(sink, ingest), ...(partial.bytes === 0 ? {} : { partial }) });
  } finally {
    await ingest.close();
  }
}

async function replay(
  ingest: Ingest,
  sink: BlobSink,
  signal: AbortSignal,
): Promise<{ readonly bytes: number; readonly hash: Hash }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of ingest.kept()) {
    signal.throwIfAborted();
    hash.update(piece);
    bytes += piece.byteLength;
    await sink.write(piece);
  }
  return { bytes, hash };
}

function both(sink: BlobSink, ingest: Ingest): BlobSink {
  const { restart } = sink;
  return {
    write: async (piece) => {
      await ingest.write(piece);
      await sink.write(piece);
    },
    ...(restart === undefined
      ? {}
      : {
          restart: async () => {
            await ingest.restart();
            await restart.call(sink);
          },
        }),
  };
}
