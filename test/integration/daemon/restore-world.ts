// A daemon with a fake CRIU that restores, and what is restored: archives, and requests for containers from them.
import { create } from '@bufbuild/protobuf';
import { imageOf, layerOf } from '../../../scripts/support/image.ts';
import { ContainerConfigSchema, MountSchema } from '../../../src/gen/runtime/v1/api_pb.ts';
import { containerConfig } from '../../e2e/support/pods.ts';
import type { ContainerConfig } from '../../e2e/support/pods.ts';
import type { World } from '../../e2e/support/world.ts';
import { makeWorld } from '../../e2e/support/world.ts';
import { archive, entry } from '../../unit/oci/layers/tar-builder.ts';
import { CONFIG, members, SPEC } from '../checkpoint/archives.ts';
import type { Parts } from '../checkpoint/archives.ts';
import type { FakeCriu } from './fake-criu.ts';

/** By which CRI-O and checkpointctl recognise an image that is a checkpoint. */
const ANNOTATION = 'io.kubernetes.cri-o.annotations.checkpoint.name';
/** By which tools name what lies in a directory (OCI image spec, annotations.md). */
const REF_NAME = 'org.opencontainers.image.ref.name';

export interface RestoreRequest {
  readonly mounts: readonly { readonly containerPath: string; readonly hostPath: string }[];
  readonly tty: boolean;
  /** What the pod's spec names, as a kubelet sends it beside the id. */
  readonly named: string;
}

/** Members of the checkpoint of a container of the image that had `/data` from outside. */
export const partsOf = (image: string, more: Parts = {}): Parts => ({
  'config.dump': JSON.stringify({ ...CONFIG, rootfsImageRef: image }),
  'spec.dump': JSON.stringify({
    ...SPEC,
    mounts: SPEC.mounts.filter(({ destination }) => destination !== '/cache'),
  }),
  'rootfs-diff.tar': archive(entry({ name: 'etc/new', body: 'new' })),
  'deleted.files': '["/bin/yes"]',
  ...more,
});

/** The daemon, whose registry has an image that is a checkpoint. */
export async function restoreWorld(fake: FakeCriu): Promise<World> {
  // the image's content is not known before its name is, so the checkpoint image names it by its tag
  const layer = layerOf([
    { path: 'checkpoint', type: 'directory', mode: 0o755 },
    ...Object.entries(members({ 'config.dump': JSON.stringify({ rootfsImage: 'test/busybox:1' }) })).map(
      ([path, content]) => ({ path, type: 'file' as const, mode: 0o644, content }),
    ),
  ]);
  return await makeWorld({
    name: 'rest',
    network: 'host-only',
    handlers: { fake: fake.runtime },
    config: `[runtime]\ncriu = "${fake.criu}"\nrestore = true`,
    images: new Map([
      [
        'test/checkpoint:1',
        imageOf({}, [layer], { [ANNOTATION]: 'main', [REF_NAME]: 'docker.io/library/evil:latest' }),
      ],
    ]),
    shortNames: (registry) => `unqualified-search-registries = ["${registry}"]`,
  });
}

/** A request for a container from a checkpoint or an image; `data` is mounted where the checkpoint had a mount. */
export function requestFor(
  from: string,
  data: string,
  more: Partial<RestoreRequest> & { readonly name: string; readonly attempt: number },
): ContainerConfig {
  const {
    mounts = [{ containerPath: '/data', hostPath: data }],
    tty = false,
    named = '',
    name,
    attempt,
  } = more;
  const config = create(
    ContainerConfigSchema,
    containerConfig({ name, attempt, image: from, command: ['sleep', '3600'], hostNetwork: true }),
  );
  config.mounts.push(...mounts.map((mount) => create(MountSchema, mount)));
  config.tty = tty;
  if (config.image !== undefined) config.image.userSpecifiedImage = named;
  return config;
}
