/**
 * What the RPC handlers are created with: the actors, and the facts of host and configuration that validation needs.
 */
import type { ClockPort } from '../../ports/clock.ts';
import type { RandomPort } from '../../ports/random.ts';
import type { Troupe } from '../../actors/troupe.ts';
import type { Conditions } from '../../base/conditions.ts';
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import type { EventsBefore } from './kept-events.ts';
import type { UnreadUsage } from './unread-usage.ts';
import type { UrlIssuer } from '../streaming/server.ts';

/** Facts of the host that decide whether a request can be carried out. */
export interface HostPolicy {
  readonly cgroupDriver: 'cgroupfs' | 'systemd';
  readonly selinuxEnabled: boolean;
  readonly apparmorEnabled: boolean;
  /** The AppArmor profile of containers that request the default; empty where the host has no AppArmor. */
  readonly apparmorDefault: string;
  /** Every known capability, with `CAP_` (capabilities(7)). */
  readonly capabilityNames: readonly string[];
  /** For containers whose request has no security context; a request with a context states its own paths. */
  readonly defaultMaskedPaths: readonly string[];
  readonly defaultReadonlyPaths: readonly string[];
}

export interface ServiceOptions extends HostPolicy {
  readonly troupe: Troupe;
  readonly clock: Pick<ClockPort, 'nowNs'>;
  readonly random: Pick<RandomPort, 'token'>;
  /** Version of troupe, semver. */
  readonly version: string;
  /** The effective configuration for `crictl info`, without secrets. */
  readonly configView: () => object;
  /** Why the last reload refused the configuration files; undefined when it accepted them. */
  readonly configRefusal: () => string | undefined;
  /** What a damaged journal may have lost, and where it is kept; undefined when the journal was not damaged. */
  readonly lostFacts: string | undefined;
  /** `runtime.restore`: without it, an image is never treated as a checkpoint. */
  readonly restoresCheckpoints: boolean;
  /** Conditions that are false: what is degraded and why. */
  readonly conditions: Pick<Conditions, 'listFalse'>;
  /** Called with the number of events that a client of GetContainerEvents did not get because it read too slowly. */
  readonly eventsDropped?: (events: number) => void;
  /** Logs the containers and pods whose usage can't be read. */
  readonly unread: Pick<UnreadUsage, 'note'>;
  /** config.json of a container or sandbox, without the environment, for verbose answers. */
  readonly specs?: {
    container(id: ContainerId): Promise<string | undefined>;
    sandbox(id: SandboxId): Promise<string | undefined>;
  };
  /** Gives troupe's own network the node's pod CIDR; throws `invalidRequest` unless it is one. */
  readonly usePodCidr?: (cidr: string) => Promise<void>;
  /** Of the daemon that has handed over to this one. */
  readonly eventsBefore?: EventsBefore | undefined;
  /** Issues the URLs of Exec, Attach and PortForward; without it these RPCs are Unimplemented. */
  readonly urls?: UrlIssuer;
}
