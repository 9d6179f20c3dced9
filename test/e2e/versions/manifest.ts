// What a fixture of test/fixtures/versions holds, and where.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerState, PodSandboxState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { checkout } from '../../support/tools/cache.ts';

export interface FixtureManifest {
  /** Of troupe. */
  readonly version: string;
  readonly commit: string;
  /** `storedVersions` of that program. */
  readonly stored: Readonly<Record<string, number>>;
  /** The pods that stay, as they were listed before the daemon was killed. Others were being made and removed. */
  readonly pods: readonly { readonly id: string; readonly name: string; readonly state: PodSandboxState }[];
  readonly containers: readonly {
    readonly id: string;
    readonly name: string;
    readonly state: ContainerState;
    readonly exitCode: number;
    /** As ContainerStatus has them: of one container they were changed while it ran. */
    readonly cpuShares: number;
  }[];
  readonly images: readonly { readonly id: string; readonly repoTags: readonly string[] }[];
}

/** Directories of the fixtures, by version. */
export const FIXTURES = join(checkout, 'test/fixtures/versions');
/** Root, state and leases. */
export const ARCHIVE = 'directories.tar.gz';
export const MANIFEST = 'manifest.json';

export interface Fixture {
  readonly manifest: FixtureManifest;
  readonly archive: string;
}

/** All fixtures, the oldest version first. */
export function fixtures(): readonly Fixture[] {
  return readdirSync(FIXTURES)
    .filter((name) => existsSync(join(FIXTURES, name, MANIFEST)))
    .toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .map((name) => ({
      manifest: JSON.parse(readFileSync(join(FIXTURES, name, MANIFEST), 'utf8')) as FixtureManifest,
      archive: join(FIXTURES, name, ARCHIVE),
    }));
}
