import { expect, test } from 'vitest';
import { edgeLimits } from '../../../src/cri/bounds.ts';
import { DEADLINE_HEADER, noteDeadline } from '../../../src/cri/call/call-deadline.ts';

const clock = { monoMs: () => 1000 };

test.each([
  ['2H', 7_201_000],
  ['3M', 181_000],
  ['4S', 5000],
  ['250m', 1250],
  ['500000u', 1500],
  ['99999999n', 1099.999999],
])('F78 a timeout of %s is a deadline on the monotonic clock', (timeout, deadline) => {
  const headers: Record<string, string> = { 'grpc-timeout': timeout };
  noteDeadline(headers, clock);
  expect(Number(headers[DEADLINE_HEADER])).toBeCloseTo(deadline, 6);
  expect(headers['grpc-timeout']).toBe(timeout);
});

test('a timeout beyond the library’s range is cut', () => {
  const headers: Record<string, string> = { 'grpc-timeout': '99999999H' };
  noteDeadline(headers, clock);
  expect(headers).toEqual({
    'grpc-timeout': `${edgeLimits.longestDeadlineS}S`,
    [DEADLINE_HEADER]: String(1000 + edgeLimits.longestDeadlineS * 1000),
  });
});

test.each([undefined, 'soon', '5', '-1S', '123456789S', '1d'])(
  'without a timeout (%s) there is no deadline, whatever our header says in the client’s request',
  (timeout) => {
    const headers: Record<string, string> = {
      [DEADLINE_HEADER]: '7',
      ...(timeout === undefined ? {} : { 'grpc-timeout': timeout }),
    };
    noteDeadline(headers, clock);
    expect(headers).not.toHaveProperty(DEADLINE_HEADER);
  },
);
