// The settings that pods of the bench have.

/** How a pod is secured: what production has costs more than nothing. */
export interface Setting {
  /** In the table. */
  readonly name: string;
  /** RuntimeDefault, as with the kubelet's SeccompDefault and Pod Security "restricted". */
  readonly hasSeccomp: boolean;
  /** Users of the pod's own (`hostUsers: false`). */
  readonly hasUsers: boolean;
}

/** The fastest. */
export const PLAIN: Setting = { name: 'no profile', hasSeccomp: false, hasUsers: false };

/** As the kubelet maps a pod's users: 65536 from a multiple of that. */
export const MAPPED = { hostId: 4 * 65_536, containerId: 0, length: 65_536 };

/** What clusters use: each setting alone, so that its price can be read, and both. */
export const SETTINGS: readonly Setting[] = [
  PLAIN,
  { name: 'RuntimeDefault', hasSeccomp: true, hasUsers: false },
  { name: 'own users', hasSeccomp: false, hasUsers: true },
  { name: 'RuntimeDefault and own users', hasSeccomp: true, hasUsers: true },
];
