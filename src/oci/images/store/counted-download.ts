/** Downloads whose bytes are counted. */
import type { Download } from './layer-intake.ts';
import type { Turn } from './transfers.ts';

/** The download, with its bytes reported to the caller and to its turn. */
export function counted(download: Download, turn: Turn, onBytes: (bytes: number) => void): Download {
  return (sink, signal) => {
    // from the start at each try
    let bytes = 0;
    return download(
      {
        write: async (piece) => {
          bytes += piece.length;
          onBytes(bytes);
          turn.came(piece.length);
          await turn.ours(() => sink.write(piece));
        },
        restart: async () => {
          bytes = 0;
          await turn.ours(() => sink.restart());
        },
      },
      signal,
    );
  };
}
