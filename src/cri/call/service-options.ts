/** What the RPCs are given at start: the actors, and the facts of host and configuration that decide what is taken. */
import type { ClockPort } from '../../ports/clock.ts';
import type { Troupe } from '../../actors/troupe.ts';
import type { Conditions } from '../../base/conditions.ts';
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import type { UnreadUsage } from './unread-usage.ts';
import type { UrlIssuer } from '../streaming/server.ts';

/** Facts of the host that decide whether a request can be honoured. */
export interface HostPolicy {
  readonly cgroupDriver: 'cgroupfs' | 'systemd';
  readonly selinuxEnabled: boolean;
  readonly apparmorEnabled: boolean;
  /** The AppArmor profile of containers that ask for the default; empty where there is none. */
  readonly apparmorDefault: string;
  /** Every capability there is a name for, with `CAP_` (capabilities(7)). */
  readonly capabilityNames: readonly string[];
  /** For containers whose request has no security context at all; one with a context states its own. */
  readonly defaultMaskedPaths: readonly string[];
  readonly defaultReadonlyPaths: readonly string[];
}

export interface ServiceOptions extends HostPolicy {
  readonly troupe: Troupe;
  readonly clock: Pick<ClockPort, 'nowNs'>;
  /** Our own version, semver. */
  readonly version: string;
  /** The effective configuration for `crictl info`; must hold no secrets. */
  readonly configView: () => object;
  /** Why the configuration's files can't be used since the last reload; undefined when they can. */
  readonly configRefusal: () => string | undefined;
  /** What a damaged journal may have lost, and where it is kept; undefined where none was. */
  readonly lostFacts: string | undefined;
  /** `runtime.restore`: without it no annotation of an image is looked at. */
  readonly restoresCheckpoints: boolean;
  /** What the daemon works without. */
  readonly conditions: Pick<Conditions, 'listFalse'>;
  /** The log of containers and pods whose usage can't be read. */
  readonly unread: Pick<UnreadUsage, 'note'>;
  /** The OCI documents of what there is, as JSON without the environment, for verbose answers; left out for none. */
  readonly specs?: {
    container(id: ContainerId): Promise<string | undefined>;
    sandbox(id: SandboxId): Promise<string | undefined>;
  };
  /** Makes the URLs of Exec, Attach and PortForward; without it these are Unimplemented. */
  readonly urls?: UrlIssuer;
}
