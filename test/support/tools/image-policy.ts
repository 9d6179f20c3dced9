import { join } from 'node:path';
import { runOrThrow } from '../run.ts';
import { buildOwnGo } from './go.ts';

/**
 * The library of CRI-O, Podman and Skopeo with its signature policies: see its main.go. Debian's skopeo has no
 * sigstore.
 */
const program = async (): Promise<string> =>
  await buildOwnGo({
    name: 'image-policy',
    sources: join(import.meta.dirname, '../go/image-policy'),
    requires: { 'github.com/containers/image/v5': 'v5.36.2' },
    // OpenPGP without cgo, and none of the transports and drivers that want libraries
    tags: [
      'containers_image_openpgp',
      'containers_image_docker_daemon_stub',
      'containers_image_storage_stub',
      'exclude_graphdriver_btrfs',
    ],
  });

export interface SigningKey {
  /** As cosign keeps it, encrypted with the passphrase. */
  readonly private: string;
  /** PEM. */
  readonly public: string;
}

export async function generateKey(passphrase: string): Promise<SigningKey> {
  return JSON.parse(await runOrThrow([await program(), 'generate', passphrase])) as SigningKey;
}

/** Signs an image of a registry and attaches the signature there. */
export async function signImage(options: {
  readonly registriesD: string;
  readonly keyFile: string;
  readonly passphrase: string;
  readonly image: string;
}): Promise<void> {
  await runOrThrow([
    await program(),
    'sign',
    options.registriesD,
    options.keyFile,
    options.passphrase,
    options.image,
  ]);
}

/** `accepted`, or `refused: ` and the reason. */
export async function judgeImage(options: {
  readonly registriesD: string;
  readonly policy: string;
  readonly image: string;
}): Promise<string> {
  return (
    await runOrThrow([await program(), 'judge', options.registriesD, options.policy, options.image])
  ).trim();
}
