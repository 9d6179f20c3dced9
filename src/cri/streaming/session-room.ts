/**
 * Whether one session more may begin: over all, for its container or pod, and for its namespace. Who may exec into one pod can
 * make many pods, and a client that reads nothing keeps its session for hours: without a share, one tenant takes all (S78). Pure.
 */
import { streamLimits } from '../../base/limits.ts';
import type { StreamRequest } from './tokens.ts';

export interface OpenSession {
  readonly target: string;
  /** Empty for a pod that is gone. */
  readonly namespace: string;
  /** Of what is kept of its request: that of an exec is large until its process starts. */
  readonly bytes: number;
}

export function hasRoom(open: Iterable<OpenSession>, wanted: OpenSession): boolean {
  let [all, ofTarget, ofNamespace, bytes, bytesOfNamespace] = [0, 0, 0, wanted.bytes, wanted.bytes];
  for (const session of open) {
    all += 1;
    if (session.target === wanted.target) ofTarget += 1;
    bytes += session.bytes;
    if (session.namespace !== wanted.namespace) continue;
    ofNamespace += 1;
    bytesOfNamespace += session.bytes;
  }
  return (
    all < streamLimits.sessions &&
    ofTarget < streamLimits.sessionsPerTarget &&
    ofNamespace < streamLimits.sessionsPerNamespace &&
    bytes <= streamLimits.requestBytes &&
    bytesOfNamespace <= streamLimits.requestBytesPerNamespace
  );
}

/** An object for each argument, as for a session without any. */
const WORD_BYTES = 32;

/** What a request takes while it is kept, in bytes. */
export function requestBytes(request: StreamRequest): number {
  const words = request.kind === 'exec' ? request.argv : [];
  return words.reduce((sum, word) => sum + word.length + WORD_BYTES, WORD_BYTES);
}
