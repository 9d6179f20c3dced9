/**
 * Planted faults in how the daemon uses its drivers: an undo forgotten, a retry without a check, a wrong argument, an
 * answer that comes too early.
 */
import type { ExitFact, JournalRecord } from '../../src/ports/journal.ts';
import type { Ports } from '../../src/ports/ports.ts';
import type { Digest, ImageId, SandboxId } from '../../src/base/ids.ts';
import type { Kernel } from './kernel.ts';

type Plant = (ports: Ports, kernel: Kernel) => Ports;

/** The undo list has a step from the moment its effect ends well: what an effect that fails has left is forgotten. */
const cgroupLeftOnAbort: Plant = (ports) => {
  const { host } = ports;
  const begun = new Set<string>();
  return {
    ...ports,
    host: {
      ...host,
      makeSandboxCgroup: (input, fx) => {
        begun.add(input.id);
        return host.makeSandboxCgroup(input, fx).then(() => void begun.delete(input.id));
      },
      removeSandboxCgroup: (input, fx) =>
        begun.has(input.id) ? Promise.resolve() : host.removeSandboxCgroup(input, fx),
    },
  };
};

/** Commits of sandboxes and containers are written and not synced. */
const commitUnsynced: Plant = (ports) => {
  const { journal } = ports;
  const isCommit = ({ type }: JournalRecord): boolean =>
    type === 'sandbox.ready' || type === 'container.created' || type === 'container.started';
  return {
    ...ports,
    journal: {
      ...journal,
      append: (records, { sync }) => journal.append(records, { sync: sync && !records.some(isCommit) }),
    },
  };
};

/** A start that fails is tried once more, whatever the first has done. */
const startRetried: Plant = (ports) => {
  const { runtime } = ports;
  return {
    ...ports,
    runtime: {
      ...runtime,
      start: (input, fx) => runtime.start(input, fx).catch(() => runtime.start(input, fx)),
    },
  };
};

/** The same for an ADD, without the DEL that has to come first. */
const addRetried: Plant = (ports) => {
  const { network } = ports;
  return {
    ...ports,
    network: {
      ...network,
      add: (input, fx) => network.add(input, fx).catch(() => network.add(input, fx)),
    },
  };
};

/** A removal is recorded when the deletion of what is left begins, not when it has ended. */
const destroyNotAwaited: Plant = (ports) => {
  const { runtime } = ports;
  return {
    ...ports,
    runtime: {
      ...runtime,
      destroy: (input, fx) => {
        void runtime.destroy(input, fx).catch(() => undefined);
        return Promise.resolve();
      },
    },
  };
};

/** A DEL is made for the pod whose ADD was the last. */
const delOfAnother: Plant = (ports) => {
  const { network } = ports;
  let last: SandboxId | undefined;
  return {
    ...ports,
    network: {
      ...network,
      add: (input, fx) => {
        last = input.id;
        return network.add(input, fx);
      },
      del: (input, fx) => network.del({ ...input, id: last ?? input.id }, fx),
    },
  };
};

/** The record has the signal where it should have the exit code. */
const exitCodeLost: Plant = (ports) => {
  const { journal } = ports;
  const lost = (exit: ExitFact): ExitFact => ({ ...exit, exitCode: exit.exitCode % 128 });
  return {
    ...ports,
    journal: {
      ...journal,
      append: (records, options) =>
        journal.append(
          records.map((one) => (one.type === 'container.exited' ? { ...one, exit: lost(one.exit) } : one)),
          options,
        ),
    },
  };
};

/** A layer goes with the image that it was removed for, and so does the layer below it, whoever else has that one. */
const baseLayerUncounted: Plant = (ports, kernel) => {
  const { storage } = ports;
  return {
    ...ports,
    storage: {
      ...storage,
      removeLayer: async (input, fx) => {
        await storage.removeLayer(input, fx);
        const [base] = [...kernel.layers].toSorted();
        if (base !== undefined) await storage.removeLayer({ diffId: base as typeof input.diffId }, fx);
      },
    },
  };
};

/** An image's layers go with its record: containers are not asked what they were made from. */
const imageRemovedInUse: Plant = (ports, kernel) => {
  const { journal } = ports;
  const layersOf = new Map<ImageId, readonly Digest[]>();
  const remove = async (id: ImageId): Promise<void> => {
    const fx = { signal: new AbortController().signal, timeoutMs: 60_000, note: () => undefined };
    for (const diffId of layersOf.get(id) ?? [])
      if (kernel.layers.has(diffId)) await ports.storage.removeLayer({ diffId }, fx);
  };
  return {
    ...ports,
    journal: {
      ...journal,
      append: async (records, options) => {
        await journal.append(records, options);
        for (const one of records) {
          if (one.type === 'image.present')
            layersOf.set(
              one.image.id,
              one.image.layers.map(({ diffId }) => diffId),
            );
          if (one.type === 'image.removed') await remove(one.id).catch(() => undefined);
        }
      },
    },
  };
};

/** An update that fails is taken for done. */
const updateErrorSwallowed: Plant = (ports) => {
  const { runtime } = ports;
  return {
    ...ports,
    runtime: {
      ...runtime,
      update: (input, fx) => runtime.update(input, fx).catch(() => undefined),
    },
  };
};

export const DRIVER_PLANTS = {
  cgroupLeftOnAbort,
  commitUnsynced,
  startRetried,
  addRetried,
  destroyNotAwaited,
  delOfAnother,
  exitCodeLost,
  baseLayerUncounted,
  imageRemovedInUse,
  updateErrorSwallowed,
} as const satisfies Readonly<Record<string, Plant>>;
