/** Counts the bytes of a download. */
import type { Download } from './layer-intake.ts';
import type { Turn } from './transfers.ts';

/** Wraps a download so that its bytes are reported to the caller and to its transfer turn. */
export function counted(download: Download, turn: Turn, onBytes: (bytes: number) => void): Download {
  return (sink, signal) => {
    // each attempt counts from zero
    let bytes = 0;
    return download(
      {
        write: async (piece) => {
          bytes += piece.length;
          onBytes(bytes);
          turn.received(piece.length);
          await turn.local(() => sink.write(piece));
        },
        restart: async () => {
          bytes = 0;
          await turn.local(() => sink.restart());
        },
      },
      signal,
    );
  };
}
