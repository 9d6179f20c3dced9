// Why a call failed: by the connection's own error, or by what the daemon answered.
import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { toFault } from '../../../src/base/fault.ts';
import { problemOf } from '../../../src/introspection/client.ts';
import { imageFault } from '../../../src/introspection/image-client.ts';

/** As connect-node makes it of an error of Node's. */
function ofSystem(errno: string, code: Code): ConnectError {
  const cause = Object.assign(new Error(`connect ${errno} /run/x.sock`), { code: errno });
  return new ConnectError(cause.message, code, undefined, undefined, cause);
}

describe('the problem of a call', () => {
  it.each([
    ['ENOENT', Code.Internal, 'unreachable'],
    ['ECONNREFUSED', Code.Unavailable, 'unreachable'],
    ['ECONNRESET', Code.Aborted, 'unreachable'],
    ['EACCES', Code.Internal, 'forbidden'],
    ['EPERM', Code.Internal, 'forbidden'],
  ])('%s with code %s is %s', (errno, code, problem) => {
    expect(problemOf(ofSystem(errno, code)).problem).toBe(problem);
  });

  it('a deadline that passes is not the absence of a daemon', () => {
    expect(problemOf(new ConnectError('the operation timed out', Code.DeadlineExceeded)).problem).toBe(
      'late',
    );
  });
});

describe('what the CRI answered', () => {
  it.each([
    [Code.PermissionDenied, 'outside'],
    [Code.DeadlineExceeded, 'outside'],
    [Code.Unavailable, 'notReady'],
    [Code.Aborted, 'notReady'],
    [Code.NotFound, 'notFound'],
    [Code.InvalidArgument, 'invalidRequest'],
  ])('code %s is a fault of kind %s with its message', (code, kind) => {
    expect(
      toFault(imageFault(new ConnectError('pull image x: denied', code), '/run/cri.sock')),
    ).toMatchObject({
      kind,
      message: 'pull image x: denied',
    });
  });

  it('an error of the connection names the socket that was asked', () => {
    const { message } = toFault(imageFault(ofSystem('ECONNRESET', Code.Aborted), '/run/cri.sock'));
    expect(message).toBe('no answer at the CRI socket /run/cri.sock: connect ECONNRESET /run/x.sock');
  });
});
