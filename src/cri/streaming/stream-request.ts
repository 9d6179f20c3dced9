/** What the URL of a stream stands for, and what keeping it takes. */
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import type { WantedStreams } from './command-channels.ts';

export type StreamRequest =
  /** `argv` is emptied once the process was described to the runtime: its session may last for hours. */
  | ({ readonly kind: 'exec'; readonly id: ContainerId; readonly argv: string[] } & WantedStreams)
  | ({ readonly kind: 'attach'; readonly id: ContainerId } & WantedStreams)
  /** No ports: any that the client names. */
  | { readonly kind: 'portforward'; readonly id: SandboxId; readonly ports: readonly number[] };

/** An object for each argument, as for a session without any. */
const WORD_BYTES = 32;

/** What a request takes while it is kept, in bytes. */
export function requestBytes(request: StreamRequest): number {
  const words = request.kind === 'exec' ? request.argv : [];
  return words.reduce((sum, word) => sum + word.length + WORD_BYTES, WORD_BYTES);
}
