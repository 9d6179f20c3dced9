/** Chains of certificates with dates and values that OpenSSL parses and a comparison takes for good. */
import { X509Certificate } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { chainRefusal } from '../../../../../src/oci/images/signature/certificates.ts';
import { bodyOf, EXTENSION, keyNamed, signedBody } from '../../../../support/signature/der-writer.ts';

const AT_MS = 1_700_000_000_000;
const rootKey = keyNamed('root');
const leafKey = keyNamed('leaf');
const root = new X509Certificate(
  signedBody(
    bodyOf({
      subject: 'root',
      issuer: 'root',
      key: rootKey,
      serial: 1,
      extensions: [EXTENSION.authority, EXTENSION.certSign],
    }),
    rootKey,
  ),
);

function refusal(valid: readonly [string, string]): string | undefined {
  const leaf = new X509Certificate(
    signedBody(
      bodyOf({
        subject: 'leaf',
        issuer: 'root',
        key: leafKey,
        serial: 2,
        extensions: [EXTENSION.codeSigning],
        valid,
      }),
      rootKey,
    ),
  );
  return chainRefusal({ leaf, intermediates: [], roots: [root], atMs: AT_MS });
}

describe('the paths of a chain', () => {
  const middleKey = keyNamed('middle');
  const middle = (serial: number, issuer: string, by = middleKey) =>
    new X509Certificate(
      signedBody(
        bodyOf({
          subject: 'middle',
          issuer,
          key: middleKey,
          serial,
          extensions: [EXTENSION.authority, EXTENSION.certSign],
        }),
        by,
      ),
    );
  const leaf = new X509Certificate(
    signedBody(
      bodyOf({
        subject: 'leaf',
        issuer: 'middle',
        key: leafKey,
        serial: 99,
        extensions: [EXTENSION.codeSigning],
      }),
      middleKey,
    ),
  );

  it('S61 authorities that all sign one another are each visited once, and a path to a root is found', () => {
    const many = Array.from({ length: 16 }, (_, at) => middle(at + 10, 'middle'));
    const verified = vi.spyOn(X509Certificate.prototype, 'verify');
    expect(chainRefusal({ leaf, intermediates: many, roots: [root], atMs: AT_MS })).toMatch(
      /not issued by an authority/u,
    );
    expect(verified.mock.calls.length).toBeLessThanOrEqual(many.length * 2);
    expect(
      chainRefusal({
        leaf,
        intermediates: [...many, middle(50, 'root', rootKey)],
        roots: [root],
        atMs: AT_MS,
      }),
    ).toBeUndefined();
    verified.mockRestore();
  });
});

describe('the dates of a certificate', () => {
  it('bound its validity', () => {
    expect(refusal(['200101000000Z', '490101000000Z'])).toBeUndefined();
    expect(refusal(['200101000000Z', '210101000000Z'])).toMatch(/is valid from/u);
  });

  it.each([
    ['200001000000Z', '490101000000Z'],
    ['200101000000Z', '491301000000Z'],
  ] as const)('S61 %s to %s is an invalid date, and refuses', (from, to) => {
    expect(refusal([from, to])).toMatch(/has no valid dates/u);
  });

  it('S61 such a date is never read from earlier memory', () => {
    const reasons = new Set<string | undefined>();
    for (let round = 0; round < 2000; round += 1) {
      if (round % 50 === 0) reasons.add(refusal(['200001000000Z', '490101000000Z']));
      else refusal(['200101000000Z', '490101000000Z']);
    }
    expect([...reasons]).toEqual(['its certificate has no valid dates']);
  });
});
