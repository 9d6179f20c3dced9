/** The changes that plugins make, one after the other, to a container that is being created. */
import { fail } from '../base/fault.ts';
import type { ContainerId } from '../base/ids.ts';
import { mergeResources } from '../ports/resources.ts';
import type { Resources } from '../ports/specs.ts';
import type { ContainerAdjustment, CreateContainerResponse } from '../gen/nri/v1alpha1/api_pb.ts';
import type { OciLimits, OciSpec } from '../oci/runtime/spec/types.ts';
import { amend } from './amend.ts';
import { changeOf } from './limits.ts';
import { Owners, claimsOf } from './owners.ts';
import { Updates } from './updates.ts';

export interface CreationInput {
  readonly id: ContainerId;
  readonly document: OciSpec;
  /** The limits in the OCI spec. */
  readonly limits: Resources;
  /**
   * Converts limits to those of an OCI spec; throws `invalidRequest` for limits that this node does not
   * support.
   */
  readonly limitsOf: (limits: Resources) => OciLimits;
}

export class Creation {
  readonly #input: CreationInput;
  readonly owners = new Owners();
  readonly updates: Updates;
  /** The adjustments of all plugins, for those that validate them. */
  readonly adjustments: ContainerAdjustment[] = [];
  readonly cdiDevices: string[] = [];
  document: OciSpec;
  limits: Resources;

  constructor(input: CreationInput) {
    this.#input = input;
    this.document = input.document;
    this.limits = input.limits;
    this.updates = new Updates(this.owners);
  }

  get hasNewLimits(): boolean {
    return this.limits !== this.#input.limits;
  }

  /**
   * Applies one plugin's answer. Throws when the creation must fail: on a conflict between plugins, or on an
   * unsupported change.
   */
  take(plugin: string, { adjust, update, evict }: CreateContainerResponse): void {
    const { id } = this.#input;
    if (update.some(({ containerId }) => containerId === id)) {
      fail(
        'invalidRequest',
        `nri plugin ${plugin}: update container ${id}: use an adjustment for a container that is being created`,
        { subject: plugin },
      );
    }
    if (adjust !== undefined) this.#adjust(plugin, adjust);
    this.updates.take(plugin, update, evict);
  }

  #adjust(plugin: string, adjust: ContainerAdjustment): void {
    this.owners.claim(this.#input.id, plugin, claimsOf(adjust));
    this.document = amend(this.document, adjust, plugin);
    this.cdiDevices.push(...adjust.CDIDevices.map(({ name }) => name));
    this.adjustments.push(adjust);
    const { resources, oomScoreAdj } = adjust.linux ?? {};
    if (resources !== undefined) this.#limit(changeOf(resources));
    // ContainerStatus reports the score with the limits
    if (oomScoreAdj !== undefined) this.limits = { ...this.limits, oomScoreAdj: Number(oomScoreAdj.value) };
  }

  #limit(change: Resources): void {
    this.limits = mergeResources(this.limits, change);
    const { linux } = this.document;
    const { memory, cpu, ...rest } = this.#input.limitsOf(this.limits);
    this.document = {
      ...this.document,
      linux: {
        ...linux,
        resources: {
          ...linux.resources,
          ...rest,
          ...(memory === undefined ? {} : { memory: { ...linux.resources.memory, ...memory } }),
          ...(cpu === undefined ? {} : { cpu: { ...linux.resources.cpu, ...cpu } }),
        },
      },
    };
  }
}
