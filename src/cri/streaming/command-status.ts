/** The result of exec and attach, as the client's version of the protocol encodes it. */
import type { Fault } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';

/** Version of the Kubernetes remote command protocol. 5 is 4 with half-close over WebSocket. */
export type CommandVersion = 1 | 2 | 3 | 4 | 5;

export type CommandEnd =
  | { readonly kind: 'exited'; readonly exitCode: number }
  /** An attached client has disconnected, or its container has ended. */
  | { readonly kind: 'detached' }
  | { readonly kind: 'failed'; readonly fault: Fault };

/** The bytes for the error stream; empty for success before version 4. */
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

/** The message for the client. That of a bug does not reveal internals. */
function messageOf(fault: Fault): string {
  const text = fault.kind === 'bug' ? 'internal error: see the log of troupe' : fault.message;
  return text.slice(0, streamLimits.errorChars);
}

/** metav1.Status as client-go's remotecommand reads it: the exit code is in a cause of type `ExitCode`. */
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
