/** What the node adds to a container's document after the request: the administrator's hooks and CDI devices. */
import type { BundleInput } from '../../../ports/runtime.ts';
import type { OnPath } from './host/bundle-mounts.ts';
import type { CdiRegistry } from './cdi/registry.ts';
import { resolveEdits } from './cdi/resolve.ts';
import type { HookDirectories } from './hooks/hook-directories.ts';
import { applyEdits } from '../spec/edits.ts';
import type { Edits } from '../spec/edits.ts';
import type { ResolvedUser } from '../spec/input.ts';
import type { OciSpec } from '../spec/types.ts';

export interface NodeEdits {
  readonly hooks: HookDirectories;
  readonly cdi: CdiRegistry;
}

const NOTHING: Edits = { env: [], devices: [], mounts: [], hooks: [], additionalGids: [] };

/** The container that the edits are for. */
interface Container {
  readonly node: NodeEdits;
  readonly sandbox: BundleInput['sandbox'];
  readonly user: ResolvedUser;
  readonly onPath: OnPath;
}

async function cdiEdits(
  names: readonly string[],
  { node, sandbox, user, onPath }: Container,
): Promise<readonly Edits[]> {
  const found = await node.cdi.find(names, onPath);
  return Promise.all(
    found.map((edits) => resolveEdits(edits, { user, mappings: sandbox.namespaces.user, onPath })),
  );
}

/** Adds further CDI devices, which NRI plugins have requested. Throws if one is not available. */
export async function withCdiDevices(
  document: OciSpec,
  names: readonly string[],
  container: Container,
): Promise<OciSpec> {
  return (await cdiEdits(names, container)).reduce(applyEdits, document);
}

/**
 * Returns a function that adds hooks and CDI devices to a document. Throws if a device is not available, before
 * anything is made for the container.
 */
export async function nodeEdits(
  node: NodeEdits,
  input: BundleInput,
  user: ResolvedUser,
  onPath: OnPath,
): Promise<(document: OciSpec) => Promise<OciSpec>> {
  const { spec, sandbox } = input;
  const cdi = await cdiEdits(spec.cdiDevices ?? [], { node, sandbox, user, onPath });
  return async (document) => {
    const hooks = await node.hooks.hooksFor(
      {
        annotations: { ...sandbox.annotations, ...spec.annotations },
        command: document.process.args[0] ?? '',
        hasBindMounts: spec.mounts.length > 0,
      },
      onPath,
    );
    // CDI last: a vendor's edits for its device take precedence
    return [{ ...NOTHING, hooks }, ...cdi].reduce(applyEdits, document);
  };
}
