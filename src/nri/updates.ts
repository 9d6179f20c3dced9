/** Updates and evictions of other containers that plugins request in an answer. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { FaultError, fail, printable, restated, toFault } from '../base/fault.ts';
import type { Fault } from '../base/fault.ts';
import { parseContainerId } from '../base/ids.ts';
import type { ContainerId } from '../base/ids.ts';
import { nriLimits } from './bounds.ts';
import type { Log } from '../base/log.ts';
import type { NriNode } from '../ports/nri.ts';
import { NO_LIMITS, mergeResources } from '../ports/resources.ts';
import type { Resources } from '../ports/specs.ts';
import type {
  ContainerEviction,
  ContainerUpdate,
  ContainerUpdateSchema,
} from '../gen/nri/v1alpha1/api_pb.ts';
import { changeOf, fixedLimits, limitsMessage } from './limits.ts';
import { Owners, resourceClaims } from './owners.ts';

/** Characters of an invalid id that a message shows. */
const ID_CHARS = 64;

/** An invalid id may be as long as a message (4 MiB), and it appears in errors and in the log. */
function checkId(plugin: string, id: string): void {
  if (parseContainerId(id) !== undefined) return;
  fail(
    'invalidRequest',
    `nri plugin ${plugin}: update container ${printable(id.slice(0, ID_CHARS))}: not an id`,
    { subject: plugin },
  );
}

interface Wanted {
  change: Resources;
  /** A failure of this update is not reported as an error. */
  isOptional: boolean;
}

export class Updates {
  readonly #owners: Owners;
  readonly #wanted = new Map<string, Wanted>();
  readonly #evicted = new Map<string, string>();

  constructor(owners: Owners = new Owners()) {
    this.#owners = owners;
  }

  get isEmpty(): boolean {
    return this.#wanted.size === 0 && this.#evicted.size === 0;
  }

  /** The updates in the form that validators get. */
  messages(): readonly MessageInitShape<typeof ContainerUpdateSchema>[] {
    return [...this.#wanted].map(([containerId, { change, isOptional }]) => ({
      containerId,
      ignoreFailure: isOptional,
      linux: { resources: limitsMessage(change) },
    }));
  }

  /** The requested change of this container. */
  changeOf(id: string): Resources {
    return this.#wanted.get(id)?.change ?? NO_LIMITS;
  }

  /**
   * Throws `outside` where two plugins set the same limit, unless the later one has marked its update as
   * optional.
   */
  take(
    plugin: string,
    updates: readonly ContainerUpdate[],
    evictions: readonly ContainerEviction[] = [],
  ): void {
    if (updates.length + evictions.length > nriLimits.updates) {
      fail(
        'exhausted',
        `nri plugin ${plugin}: update and evict ${updates.length + evictions.length} containers: more than ${nriLimits.updates}`,
        { subject: plugin },
      );
    }
    for (const { containerId } of evictions) checkId(plugin, containerId);
    for (const { containerId, linux, ignoreFailure } of updates) {
      const resources = linux?.resources;
      if (resources === undefined) continue;
      try {
        checkId(plugin, containerId);
        const fixed = fixedLimits(resources);
        if (fixed.length > 0)
          fail(
            'unsupported',
            `nri plugin ${plugin}: update container ${containerId}: ${fixed.join(', ')} can't be changed after its creation`,
            { subject: containerId },
          );
        this.#owners.claim(containerId, plugin, resourceClaims(resources));
      } catch (error) {
        if (ignoreFailure) continue;
        throw error;
      }
      const before = this.#wanted.get(containerId);
      this.#wanted.set(containerId, {
        change: mergeResources(before?.change ?? NO_LIMITS, changeOf(resources)),
        isOptional: ignoreFailure && before?.isOptional !== false,
      });
    }
    for (const { containerId, reason } of evictions) this.#evicted.set(containerId, reason);
  }

  /**
   * Carries out all requests except those for `except`. Tries all of them, then rejects with the first
   * failure that matters, as `outside`: its own kind would describe another container than the caller's.
   * Returns the containers whose update failed.
   */
  async apply(node: NriNode, signal: AbortSignal, log: Log, except?: string): Promise<readonly string[]> {
    const failed: string[] = [];
    let first: Fault | undefined;
    for (const [id, { change, isOptional }] of this.#wanted) {
      if (id === except) continue;
      try {
        await node.update(id as ContainerId, change, signal);
      } catch (error) {
        const reason = toFault(error);
        failed.push(id);
        log.warn({ container: id, reason: reason.message }, 'could not update a container for an nri plugin');
        if (!isOptional)
          first ??= signal.aborted
            ? reason
            : restated('outside', `update container ${id} for an nri plugin: ${reason.message}`, reason, {
                subject: id,
              });
      }
    }
    for (const [id, reason] of this.#evicted) {
      await node.evict(id as ContainerId, reason, signal).catch((error: unknown) => {
        failed.push(id);
        log.warn(
          { container: id, reason: toFault(error).message },
          'could not evict a container for an nri plugin',
        );
      });
    }
    if (first !== undefined) throw new FaultError(first);
    return failed;
  }
}
