import { status } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import type { FaultKind } from '../../../src/base/fault.ts';
import { fault } from '../../../src/base/fault.ts';
import { grpcCode, toStatus, withKubeletPrefix } from '../../../src/cri/call/status.ts';

describe('fault → status', () => {
  test('our code numbers match the library’s', () => {
    const theirs = Object.entries(grpcCode).map(
      ([name]) => status[name.replace(/[A-Z]/gu, '_$&').toUpperCase() as keyof typeof status],
    );
    expect(theirs).toEqual(Object.values(grpcCode));
  });

  const rows: readonly (readonly [FaultKind, keyof typeof grpcCode])[] = [
    ['invalidRequest', 'invalidArgument'],
    ['notFound', 'notFound'],
    ['conflict', 'alreadyExists'],
    ['wrongState', 'failedPrecondition'],
    ['notReady', 'unavailable'],
    ['exhausted', 'resourceExhausted'],
    ['timedOut', 'deadlineExceeded'],
    ['cancelled', 'cancelled'],
    ['superseded', 'aborted'],
    ['denied', 'permissionDenied'],
    ['unsupported', 'unimplemented'],
    ['outside', 'unknown'],
  ];
  test.each(rows)('%s is answered %s with its message unchanged', (kind, code) => {
    expect(toStatus(fault(kind, 'stop container 12: why'), 'ab12')).toEqual({
      code,
      message: 'stop container 12: why',
    });
  });

  test('a bug is answered with the request id only', () => {
    expect(toStatus(fault('bug', 'undefined is not a function at /some/path'), 'ab12')).toEqual({
      code: 'internal',
      message: 'internal error: see the log of troupe for request ab12',
    });
  });

  test('the kubelet’s word comes first and under Unknown, the only code that the kubelet strips', () => {
    const value = withKubeletPrefix(
      'RegistryUnavailable',
      fault('timedOut', 'pull a/b: no answer', { subject: 'a/b' }),
    );
    expect(value).toMatchObject({ subject: 'a/b', retryable: true, cause: { kind: 'timedOut' } });
    expect(toStatus(value, '')).toEqual({
      code: 'unknown',
      message: 'RegistryUnavailable: pull a/b: no answer',
    });
  });
});
