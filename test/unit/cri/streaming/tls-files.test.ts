// Files of the streaming server's certificate: an administrator, or a program, may have put anything there.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { silentLog } from '../../../../src/base/log.ts';
import { streamLimits } from '../../../../src/cri/bounds.ts';
import { TlsKeeper } from '../../../../src/cri/streaming/tls.ts';

test('F95 F32: a FIFO, a directory or a file of any size in the place of a certificate is refused at once; others are read', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-tls-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const at = (name: string): string => join(directory, name);
  execFileSync('mkfifo', [at('fifo')]);
  writeFileSync(at('large'), '');
  truncateSync(at('large'), streamLimits.pemBytes + 1);
  writeFileSync(at('pem'), 'text');
  const keeper = (cert: string): TlsKeeper =>
    new TlsKeeper({ cert: at(cert), key: at('pem'), clientCa: '' }, silentLog);
  for (const cert of ['fifo', '.', 'large'])
    await expect(keeper(cert).options(), cert).rejects.toThrow('not a regular file of at most');
  expect(await keeper('pem').options()).toMatchObject({
    cert: Buffer.from('text'),
    key: Buffer.from('text'),
  });
});
