import { describe, expect, it } from 'vitest';
import { assert, unreachable } from '../../../src/base/assert.ts';
import {
  fail,
  fault,
  FaultError,
  printable,
  quotesOutput,
  restated,
  toFault,
} from '../../../src/base/fault.ts';

const systemError = (code: string): Error => Object.assign(new Error(`${code}: it went wrong`), { code });

describe('fault', () => {
  it.each(['notReady', 'exhausted', 'timedOut', 'cancelled', 'superseded'] as const)(
    '%s is retryable',
    (kind) => {
      expect(fault(kind, 'x').retryable).toBe(true);
    },
  );

  it.each([
    'invalidRequest',
    'notFound',
    'conflict',
    'wrongState',
    'denied',
    'unsupported',
    'outside',
    'bug',
  ] as const)('%s is not retryable', (kind) => {
    expect(fault(kind, 'x').retryable).toBe(false);
  });

  it('can override whether it is retryable', () => {
    expect(fault('outside', 'x', { retryable: true, subject: 'id' })).toEqual({
      kind: 'outside',
      message: 'x',
      subject: 'id',
      retryable: true,
    });
  });

  it('is thrown whole by fail', () => {
    expect(() => fail('notFound', 'stop container x: no such container', { subject: 'x' })).toThrow(
      expect.objectContaining({
        fault: expect.objectContaining({ kind: 'notFound', subject: 'x' }) as unknown,
      }) as Error,
    );
  });
});

describe('quotesOutput', () => {
  const quoting = fault('outside', 'runc create: exec: "word"', { quotesOutput: true });

  it('stays with a fault whatever is put before its message, and with one that it caused', () => {
    expect(quotesOutput(toFault(new FaultError(quoting), 'create c1'))).toBe(true);
    expect(quotesOutput(fault('notReady', 'try again', { cause: quoting }))).toBe(true);
  });

  it('stays with a fault in the words of another call', () => {
    expect(restated('superseded', 'start c1: failed', quoting, { subject: 'c1' })).toEqual({
      kind: 'superseded',
      message: 'start c1: failed',
      subject: 'c1',
      retryable: true,
      quotesOutput: true,
    });
    expect(restated('outside', 'still there', undefined)).toEqual(fault('outside', 'still there'));
  });

  it('is of no other fault', () => {
    expect(fault('outside', 'x', { quotesOutput: false })).not.toHaveProperty('quotesOutput');
    expect([quotesOutput(fault('outside', 'x')), quotesOutput(undefined)]).toEqual([false, false]);
  });
});

describe('toFault', () => {
  it('keeps a fault, and puts the attempt before its message', () => {
    const inner = fault('exhausted', 'disk full', { subject: '/x' });
    expect(toFault(new FaultError(inner))).toBe(inner);
    expect(toFault(new FaultError(inner), 'mount c1')).toEqual({ ...inner, message: 'mount c1: disk full' });
  });

  it.each([
    ['ENOSPC', 'exhausted'],
    ['EDQUOT', 'exhausted'],
    ['EMFILE', 'exhausted'],
    ['ENFILE', 'exhausted'],
    ['ENOMEM', 'exhausted'],
    ['EAGAIN', 'exhausted'],
    ['ABORT_ERR', 'cancelled'],
    ['EACCES', 'outside'],
    ['ENOENT', 'outside'],
  ])('maps the system error %s to %s', (code, kind) => {
    expect(toFault(systemError(code), 'write f')).toMatchObject({
      kind,
      message: `write f: ${code}: it went wrong`,
    });
  });

  it('maps an abort without a reason to cancelled', () => {
    expect(toFault(AbortSignal.abort().reason, 'pull x')).toMatchObject({ kind: 'cancelled' });
  });

  it('maps an error without a code, and any other thrown value, to bug', () => {
    expect(toFault(new TypeError('x is undefined')).kind).toBe('bug');
    expect(toFault('text')).toMatchObject({ kind: 'bug', message: 'text' });
    expect(toFault(undefined).kind).toBe('bug');
  });
});

describe('printable', () => {
  it('removes control characters and lone surrogates from other programs’ output', () => {
    expect(printable('a\u001b[31mred\r\nb\u0000c\u0085d')).toBe('a [31mred b c d');
    expect(printable('\ud800x')).toBe('\ufffdx');
  });

  it('caps the length', () => {
    const long = printable('x'.repeat(10_000));
    expect(long).toHaveLength(4096);
    expect(long.endsWith('…')).toBe(true);
  });
});

describe('assert', () => {
  it('throws a fault of kind bug when the condition does not hold', () => {
    expect(() => assert(true, 'fine')).not.toThrow();
    expect(() => assert(false, 'broken')).toThrow(
      expect.objectContaining({
        fault: expect.objectContaining({ kind: 'bug', message: 'broken' }) as unknown,
      }) as Error,
    );
  });

  it('reports an unexpected case', () => {
    expect(() => unreachable('new' as never)).toThrow('unreachable case: new');
  });
});
