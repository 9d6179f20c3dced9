/** How a client of exec or attach is told the end, by the version of the protocol that it speaks. */
import type { Fault } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';

/** The remote command protocol of Kubernetes. 5 is 4 with half-close over WebSocket. */
export type CommandVersion = 1 | 2 | 3 | 4 | 5;

export type CommandEnd =
  | { readonly kind: 'exited'; readonly exitCode: number }
  /** An attached client has left, or what it was attached to has ended. */
  | { readonly kind: 'detached' }
  | { readonly kind: 'failed'; readonly fault: Fault };

/** The bytes for the error stream; empty for "all went well" before version 4. */
export function statusBytes(end: CommandEnd, version: CommandVersion): Uint8Array {
  return Buffer.from(version >= 4 ? JSON.stringify(statusObject(end)) : plainText(end), 'utf8');
}

function plainText(end: CommandEnd): string {
  if (end.kind === 'failed') return messageOf(end.fault);
  return end.kind === 'exited' && end.exitCode !== 0 ? exitText(end.exitCode) : '';
}

function exitText(exitCode: number): string {
  return `command terminated with exit code ${exitCode}`;
}

/** A bug says nothing of our insides. */
function messageOf(fault: Fault): string {
  const text = fault.kind === 'bug' ? 'internal error; the log of troupe tells more' : fault.message;
  return text.slice(0, streamLimits.errorChars);
}

/** metav1.Status as client-go's remotecommand reads it: the exit code stands in a cause of type `ExitCode`. */
function statusObject(end: CommandEnd): object {
  if (end.kind === 'failed') {
    const message = messageOf(end.fault);
    return {
      metadata: {},
      status: 'Failure',
      message,
      reason: 'InternalError',
      details: { causes: [{ message }] },
      code: 500,
    };
  }
  if (end.kind === 'detached' || end.exitCode === 0) return { metadata: {}, status: 'Success' };
  return {
    metadata: {},
    status: 'Failure',
    message: exitText(end.exitCode),
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(end.exitCode) }] },
  };
}
