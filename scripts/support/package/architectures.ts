// The machines that packages are made for, and where the binaries of each lie.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { checkout } from '../checkout.ts';

export type Architecture = 'x64' | 'arm64';
export const ARCHITECTURES: readonly Architecture[] = ['x64', 'arm64'];

/** Their names among the distributions. */
export const NAMES: Readonly<Record<Architecture, { readonly deb: string; readonly rpm: string }>> = {
  x64: { deb: 'amd64', rpm: 'x86_64' },
  arm64: { deb: 'arm64', rpm: 'aarch64' },
};

/** Node, and the library by which it calls the kernel. */
export const binaryPackages = (architecture: Architecture): readonly [node: string, koffi: string] => [
  `node-linux-${architecture}`,
  `@koromix/koffi-linux-${architecture}`,
];

/** npm installs those of its own machine; scripts/setup.js puts the others into the cache. */
export function binaryPackage(name: string, architecture: Architecture): string {
  const cache = process.env['TROUPE_CACHE'] ?? join(checkout, '.cache');
  const path = join(
    architecture === process.arch ? join(checkout, 'node_modules') : join(cache, 'npm'),
    name,
  );
  if (!existsSync(join(path, 'package.json')))
    throw new Error(`${path} is missing: node scripts/setup.js package`);
  return path;
}
