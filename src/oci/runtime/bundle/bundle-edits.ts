/** What the node adds to a document after the request has been put into it: hooks of its administrator, CDI devices. */
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

/** For whom they are. */
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

/** The document with further CDI devices, which plugins ask for. Throws for what can't be had. */
export async function withCdiDevices(
  document: OciSpec,
  names: readonly string[],
  container: Container,
): Promise<OciSpec> {
  return (await cdiEdits(names, container)).reduce(applyEdits, document);
}

/** A function that puts them in. Throws for what can't be had before anything is made for the container. */
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
    // CDI last: what a vendor says of its device stands over all else (features.md B3)
    return [{ ...NOTHING, hooks }, ...cdi].reduce(applyEdits, document);
  };
}
