import type { KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { runOrThrow } from '../run.ts';
import { buildOwnGo } from './go.ts';

/** The key as `skopeo copy --sign-by-sigstore-private-key` reads it. */
export async function cosignKeyFile(key: KeyObject, passphrase: string): Promise<string> {
  const program = await buildOwnGo({ name: 'cosign-key', sources: join(import.meta.dirname, '../go/cosign-key'), requires: { 'golang.org/x/crypto': 'v0.45.0' } });
  return await runOrThrow([program, key.export({ type: 'pkcs8', format: 'der' }).toString('hex'), passphrase]);
}
