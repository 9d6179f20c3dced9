/** The request behind a stream's URL, and the memory it takes. */
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import type { WantedStreams } from './command-channels.ts';

export type StreamRequest =
  /** `argv` is emptied once the runtime has the process description: the session may last for hours. */
  | ({ readonly kind: 'exec'; readonly id: ContainerId; readonly argv: string[] } & WantedStreams)
  | ({ readonly kind: 'attach'; readonly id: ContainerId } & WantedStreams)
  /** Without ports, the client may connect to any port. */
  | { readonly kind: 'portforward'; readonly id: SandboxId; readonly ports: readonly number[] };

/** Memory of one string object, and of a request without arguments. */
const WORD_BYTES = 32;

/** Estimated memory of a request, in bytes. */
export function requestBytes(request: StreamRequest): number {
  const words = request.kind === 'exec' ? request.argv : [];
  return words.reduce((sum, word) => sum + word.length + WORD_BYTES, WORD_BYTES);
}
