import { expect, test } from 'vitest';
import { checkFfi } from '../../../../src/host/ffi/check.ts';
import { callSync, libc } from '../../../../src/host/ffi/ffi.ts';
import { KernelError, codeOf, errnoName, must } from '../../../../src/host/ffi/errno.ts';
import { makeDevice, readTimespec, writeTimespec } from '../../../../src/host/ffi/constants.ts';

test('this machine has the layouts and calls that ffi.ts states', () => {
  expect(() => checkFfi()).not.toThrow();
});

test('S64: a text with a NUL byte never reaches the kernel as a shorter path', () => {
  expect(() => callSync(libc.kill, 0, 0)).not.toThrow();
  expect(() => callSync(libc.umount, '/a\0b', 0)).toThrow(/NUL byte/u);
});

test('a failed call names the attempt, the subject and the errno', () => {
  const outcome = callSync(libc.openat, -100, '/does/not/exist', 0, 0);
  expect(outcome.result).toBe(-1);
  const error = ((): unknown => {
    try {
      return must(outcome, 'open', '/does/not/exist');
    } catch (thrown) {
      return thrown;
    }
  })();
  expect(error).toBeInstanceOf(KernelError);
  expect(codeOf(error)).toBe('ENOENT');
  expect(error).toMatchObject({ fault: { kind: 'outside', subject: '/does/not/exist' } });
  expect((error as KernelError).message).toBe('open /does/not/exist: ENOENT: no such file or directory');
});

test('errno names are those of the man pages, and errors of exhaustion have that kind', () => {
  expect([errnoName(11), errnoName(95), errnoName(2), errnoName(524)]).toEqual([
    'EAGAIN',
    'EOPNOTSUPP',
    'ENOENT',
    'errno 524',
  ]);
  expect(new KernelError('open x', 24, 'x').fault.kind).toBe('exhausted');
});

test('times before 1970 keep their nanoseconds', () => {
  const buffer = Buffer.alloc(16);
  for (const ns of [0n, -1n, -1_500_000_001n, 1_234_567_890_123_456_789n]) {
    writeTimespec(buffer, 0, ns);
    expect(buffer.readBigInt64LE(8)).toBeGreaterThanOrEqual(0n);
    expect(readTimespec(buffer, 0)).toBe(ns);
  }
});

test('device numbers are packed as glibc does', () => {
  expect(makeDevice(1, 3)).toBe(0x103n);
  expect(makeDevice(8, 0x12345)).toBe(0x12300845n);
  expect(makeDevice(0x12345, 1)).toBe(0x0001200000034501n);
});
