/** User, seccomp, AppArmor, SELinux and capabilities. Pure. */
import type { Capabilities, SeccompChoice, UserChoice } from '../../ports/specs.ts';
import { requestLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { Capability, Int64Value, SecurityProfile } from '../../gen/runtime/v1/api_pb.ts';
import {
  SecurityProfile_ProfileType as ProfileType,
  SupplementalGroupsPolicy,
} from '../../gen/runtime/v1/api_pb.ts';
import type { HostPolicy } from '../call/service-options.ts';
import { absolutePath, each, intIn, line, quoted, refuse, required, word } from './check.ts';

interface UserFields {
  readonly runAsUser: Int64Value | undefined;
  readonly runAsGroup: Int64Value | undefined;
  readonly runAsUsername: string;
  readonly supplementalGroups: readonly bigint[];
  readonly supplementalGroupsPolicy: number;
}

const POLICY = {
  [SupplementalGroupsPolicy.Merge]: 'merge',
  [SupplementalGroupsPolicy.Strict]: 'strict',
} as const;

/** The user to run as. Ids end at 2³¹−1, as in Kubernetes: larger ones overflow to 0 in some tools (S25). */
export function userChoice(field: string, asked: UserFields): UserChoice {
  const runAsUsername = userName(`${field}.run_as_username`, asked.runAsUsername);
  const runAsUser = optionalId(`${field}.run_as_user`, asked.runAsUser);
  const runAsGroup = optionalId(`${field}.run_as_group`, asked.runAsGroup);
  if (runAsUser !== undefined && runAsUsername !== '')
    refuse(`${field}.run_as_username`, 'is set together with run_as_user');
  if (runAsGroup !== undefined && runAsUser === undefined && runAsUsername === '') {
    refuse(`${field}.run_as_group`, 'is set, but neither run_as_user nor run_as_username is');
  }
  return {
    runAsUser,
    runAsUsername,
    runAsGroup,
    supplementalGroups: each(
      `${field}.supplemental_groups`,
      asked.supplementalGroups,
      id,
      requestLimits.groups,
    ),
    supplementalGroupsPolicy: word(
      `${field}.supplemental_groups_policy`,
      asked.supplementalGroupsPolicy,
      POLICY,
    ),
  };
}

function optionalId(field: string, value: Int64Value | undefined): number | undefined {
  return value === undefined ? undefined : id(field, value.value);
}

function id(field: string, value: bigint): number {
  return intIn(field, value, 0, portLimits.highestUserId);
}

/**
 * A user name, not a number: a number would be looked up in the image's /etc/passwd, which can map it to any uid (S26).
 */
function userName(field: string, name: string): string {
  line(field, name, requestLimits.nameBytes);
  if (/^[0-9]+$/u.test(name)) refuse(field, `${quoted(name)} is a number: set run_as_user`);
  if (name !== '' && !/^[A-Za-z_][A-Za-z0-9_.@\\-]*\$?$/u.test(name))
    refuse(field, `${quoted(name)} is not a user name`);
  return name;
}

const TYPES = {
  [ProfileType.RuntimeDefault]: 'runtimeDefault',
  [ProfileType.Unconfined]: 'unconfined',
  [ProfileType.Localhost]: 'localhost',
} as const;

/**
 * The seccomp profile. The new field takes precedence over the old one. Without either it is unconfined, as in both
 * peers and critest.
 */
export function seccompChoice(
  field: string,
  profile: SecurityProfile | undefined,
  old: string,
): SeccompChoice {
  if (profile === undefined) return oldSeccomp(`${field}.seccomp_profile_path`, old);
  const type = word(`${field}.seccomp.profile_type`, profile.profileType, TYPES);
  const ref = `${field}.seccomp.localhost_ref`;
  if (type === 'localhost') return { type, path: absolutePath(ref, profile.localhostRef) };
  if (profile.localhostRef !== '') refuse(ref, 'is set, but profile_type is not Localhost');
  return { type, path: '' };
}

/**
 * The old field. `localhost/` comes before an absolute path: older kubelets wrote
 * `localhost//var/lib/kubelet/seccomp/x`.
 */
function oldSeccomp(field: string, old: string): SeccompChoice {
  if (old === '' || old === 'unconfined') return { type: 'unconfined', path: '' };
  if (old === 'runtime/default' || old === 'docker/default') return { type: 'runtimeDefault', path: '' };
  if (!old.startsWith('localhost/')) refuse(field, `${quoted(old)} is not a seccomp profile`);
  return { type: 'localhost', path: absolutePath(field, old.slice('localhost/'.length)) };
}

/**
 * The name of the AppArmor profile; empty for unconfined. As in both peers, the new field takes precedence over the old
 * one, and without either it is the default profile. A host without AppArmor has no default profile and refuses a named
 * one. Whether the profile is loaded is checked when the container is created.
 */
export function apparmorProfile(
  field: string,
  profile: SecurityProfile | undefined,
  old: string,
  policy: HostPolicy,
): string {
  const choice =
    profile === undefined
      ? oldApparmor(`${field}.apparmor_profile`, old)
      : newApparmor(`${field}.apparmor`, profile);
  if (choice.type !== 'localhost') return choice.type === 'unconfined' ? '' : policy.apparmorDefault;
  if (!policy.apparmorEnabled)
    refuse(
      choice.field,
      `profile ${quoted(choice.name)} cannot be enforced: AppArmor is not enabled on this node`,
    );
  return choice.name;
}

type ApparmorChoice =
  | { readonly type: 'runtimeDefault' }
  | { readonly type: 'unconfined' }
  | { readonly type: 'localhost'; readonly name: string; readonly field: string };

function newApparmor(field: string, { profileType, localhostRef }: SecurityProfile): ApparmorChoice {
  const type = word(`${field}.profile_type`, profileType, TYPES);
  const ref = `${field}.localhost_ref`;
  if (type === 'localhost') return localApparmor(ref, localhostRef);
  if (localhostRef !== '') refuse(ref, 'is set, but profile_type is not Localhost');
  return { type };
}

function oldApparmor(field: string, old: string): ApparmorChoice {
  if (old === '' || old === 'runtime/default') return { type: 'runtimeDefault' };
  if (old === 'unconfined') return { type: 'unconfined' };
  return old.startsWith('localhost/')
    ? localApparmor(field, old)
    : refuse(field, `${quoted(old)} is not an AppArmor profile`);
}

/** A named profile. The prefix of the old field is removed from the new field as well, as in both peers. */
function localApparmor(field: string, value: string): ApparmorChoice {
  const name = required(field, line(field, value.replace(/^localhost\//u, ''), requestLimits.nameBytes));
  return { type: 'localhost', name, field };
}

/**
 * Capabilities in upper case with CAP_. An unknown one to add is refused; an unknown one to drop is accepted: no
 * process has it.
 */
export function capabilities(field: string, asked: Capability | undefined, policy: HostPolicy): Capabilities {
  const known = (at: string, name: string): string => {
    const canonical = capability(at, name);
    return canonical === 'ALL' || policy.capabilityNames.includes(canonical)
      ? canonical
      : refuse(at, `${quoted(name)} is not a capability`);
  };
  return {
    add: each(`${field}.add_capabilities`, asked?.addCapabilities ?? [], known),
    drop: each(`${field}.drop_capabilities`, asked?.dropCapabilities ?? [], (at, name) => {
      const canonical = capability(at, name);
      // CAP_ALL means ALL; passed on as it is, it would drop nothing
      return canonical === 'CAP_ALL' ? 'ALL' : canonical;
    }),
    addAmbient: each(`${field}.add_ambient_capabilities`, asked?.addAmbientCapabilities ?? [], known),
  };
}

function capability(field: string, name: string): string {
  if (!/^[A-Za-z_]{1,64}$/u.test(name)) refuse(field, `${quoted(name)} is not a capability`);
  const upper = name.toUpperCase();
  return upper === 'ALL' || upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
}
