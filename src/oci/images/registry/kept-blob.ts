/** A blob's download over its ingest file: what is there goes into the sink first, what comes goes into both. */
import { createHash, type Hash } from 'node:crypto';
import type { BlobOptions, BlobSink } from './blob.ts';
import type { Incoming, Ingest, Ingests } from './ingest.ts';

type Wanted = Pick<BlobOptions, 'descriptor' | 'signal'>;
type From = Wanted & Partial<Pick<Incoming, 'source' | 'namespace'>>;
type Fetch = (options: Wanted & Pick<BlobOptions, 'sink' | 'partial'>) => Promise<void>;

/**
 * Brings the blob into `sink`, with as little as possible asked of registries. What came stays in the ingest file however
 * it ends; the caller drops that once the layer is there.
 * @param kept sees what an earlier download has left; `sink` what comes now
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
