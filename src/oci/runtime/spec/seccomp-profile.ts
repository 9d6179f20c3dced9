/**
 * A seccomp profile from the node's disk (`localhost`): the OCI document itself, or Docker's form with archMap,
 * includes and excludes, which the Kubernetes documentation uses. A profile that cannot be parsed completely is
 * refused: a fallback to "unconfined" would turn a typing error into a vulnerability (S73).
 */
import { fail } from '../../../base/fault.ts';
import { specLimits } from '../bounds.ts';
import { parseStrictJson } from '../../documents/strict-json.ts';
import type { Json, JsonObject } from '../../documents/strict-json.ts';
import { ARCHITECTURES } from './seccomp-default.ts';
import type { KernelArch } from './input.ts';
import type { OciSeccomp, SeccompArg, SeccompOperator, SeccompRule } from './types.ts';

export interface ProfileConditions {
  readonly arch: KernelArch;
  /** Bounding set of the process. */
  readonly capabilities: readonly string[];
  readonly kernelRelease: string;
}

/** OCI runtime spec 1.1, linux.seccomp.defaultAction. */
const ACTIONS: ReadonlySet<string> = new Set([
  'SCMP_ACT_KILL',
  'SCMP_ACT_KILL_PROCESS',
  'SCMP_ACT_KILL_THREAD',
  'SCMP_ACT_TRAP',
  'SCMP_ACT_ERRNO',
  'SCMP_ACT_TRACE',
  'SCMP_ACT_ALLOW',
  'SCMP_ACT_LOG',
  'SCMP_ACT_NOTIFY',
]);
const OPERATORS: ReadonlySet<string> = new Set<SeccompOperator>([
  'SCMP_CMP_NE',
  'SCMP_CMP_LT',
  'SCMP_CMP_LE',
  'SCMP_CMP_EQ',
  'SCMP_CMP_GE',
  'SCMP_CMP_GT',
  'SCMP_CMP_MASKED_EQ',
]);
/** Docker's names of the architectures in includes and excludes. */
const GO_ARCH = { x64: 'amd64', arm64: 'arm64' } as const;

class ProfileError extends Error {}

/** Parses a profile; the caller bounds its size. Throws `invalidRequest` with path and reason. */
export function parseSeccompProfile(
  bytes: Uint8Array,
  path: string,
  conditions: ProfileConditions,
): OciSeccomp {
  try {
    return profile(object(parseStrictJson(bytes), 'the document'), conditions);
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    return fail('invalidRequest', `read seccomp profile ${path}: ${reason}`, { subject: path });
  }
}

function profile(root: JsonObject, conditions: ProfileConditions): OciSeccomp {
  const rules = list(root.get('syscalls'), 'syscalls');
  if (rules.length > specLimits.seccompRules)
    wrong(`syscalls has ${rules.length} rules, more than ${specLimits.seccompRules}`);
  const errno = optionalInteger(root.get('defaultErrnoRet'), 'defaultErrnoRet');
  const flags = strings(root.get('flags'), 'flags');
  const listenerPath = optionalText(root.get('listenerPath'), 'listenerPath');
  const listenerMetadata = optionalText(root.get('listenerMetadata'), 'listenerMetadata');
  return {
    defaultAction: action(root.get('defaultAction'), 'defaultAction'),
    ...(errno === undefined ? {} : { defaultErrnoRet: Number(errno) }),
    architectures: architectures(root, conditions.arch),
    ...(flags.length === 0 ? {} : { flags }),
    ...(listenerPath === undefined ? {} : { listenerPath }),
    ...(listenerMetadata === undefined ? {} : { listenerMetadata }),
    syscalls: rules
      .map((rule, at) => [object(rule, `syscalls[${at}]`), at] as const)
      .filter(([rule]) => applies(rule, conditions))
      .map(([rule, at]) => toRule(rule, `syscalls[${at}]`)),
  };
}

function architectures(root: JsonObject, arch: KernelArch): readonly string[] {
  const named = strings(root.get('architectures'), 'architectures');
  const native = ARCHITECTURES[arch][0];
  if (named.length > 0) return named;
  for (const item of list(root.get('archMap'), 'archMap')) {
    const entry = object(item, 'archMap');
    if (entry.get('architecture') !== native) continue;
    return [native, ...strings(entry.get('subArchitectures'), 'archMap.subArchitectures')];
  }
  return [];
}

function toRule(rule: JsonObject, where: string): SeccompRule {
  const one = optionalText(rule.get('name'), `${where}.name`);
  const names = [
    ...(one === undefined || one === '' ? [] : [one]),
    ...strings(rule.get('names'), `${where}.names`),
  ];
  if (names.length === 0) wrong(`${where} names no system call`);
  const errno = optionalInteger(rule.get('errnoRet'), `${where}.errnoRet`);
  const args = list(rule.get('args'), `${where}.args`).map((arg) =>
    toArg(object(arg, `${where}.args`), where),
  );
  return {
    names,
    action: action(rule.get('action'), `${where}.action`),
    ...(errno === undefined ? {} : { errnoRet: Number(errno) }),
    ...(args.length === 0 ? {} : { args }),
  };
}

function toArg(arg: JsonObject, where: string): SeccompArg {
  const index = optionalInteger(arg.get('index'), `${where}.args.index`) ?? 0n;
  // a system call has six arguments (seccomp(2), struct seccomp_data)
  if (index > 5n) wrong(`${where}.args.index is ${index}, a system call has six arguments`);
  const op = arg.get('op');
  if (typeof op !== 'string' || !OPERATORS.has(op)) wrong(`${where}.args.op is not a known operator`);
  return {
    index: Number(index),
    value: optionalInteger(arg.get('value'), `${where}.args.value`) ?? 0n,
    valueTwo: optionalInteger(arg.get('valueTwo'), `${where}.args.valueTwo`) ?? 0n,
    op: op as SeccompOperator,
  };
}

/** Docker's conditions: all includes must hold, and no exclude. */
function applies(rule: JsonObject, conditions: ProfileConditions): boolean {
  const includes = optionalObject(rule.get('includes'), 'includes');
  const excludes = optionalObject(rule.get('excludes'), 'excludes');
  const arch = GO_ARCH[conditions.arch];
  if (includes !== undefined) {
    const arches = strings(includes.get('arches'), 'includes.arches');
    const caps = strings(includes.get('caps'), 'includes.caps');
    if (arches.length > 0 && !arches.includes(arch)) return false;
    if (!caps.every((name) => conditions.capabilities.includes(name))) return false;
    if (!kernelReaches(includes, conditions)) return false;
  }
  if (excludes === undefined) return true;
  if (strings(excludes.get('arches'), 'excludes.arches').includes(arch)) return false;
  if (strings(excludes.get('caps'), 'excludes.caps').some((name) => conditions.capabilities.includes(name)))
    return false;
  return !(excludes.has('minKernel') && kernelReaches(excludes, conditions));
}

function kernelReaches(condition: JsonObject, { kernelRelease }: ProfileConditions): boolean {
  const wanted = optionalText(condition.get('minKernel'), 'minKernel');
  if (wanted === undefined || wanted === '') return true;
  const [major, minor] = version(wanted, 'minKernel');
  const [ourMajor, ourMinor] = version(kernelRelease, 'the kernel release');
  return ourMajor > major || (ourMajor === major && ourMinor >= minor);
}

function version(text: string, where: string): readonly [number, number] {
  const match = /^([0-9]{1,4})\.([0-9]{1,4})/u.exec(text);
  if (match === null) return wrong(`${where} ${text} is not a kernel version`);
  return [Number(match[1]), Number(match[2])];
}

function action(value: Json | undefined, where: string): string {
  if (typeof value !== 'string' || !ACTIONS.has(value)) return wrong(`${where} is not a known action`);
  return value;
}

function object(value: Json | undefined, where: string): JsonObject {
  return optionalObject(value, where) ?? wrong(`${where} is not an object`);
}

function optionalObject(value: Json | undefined, where: string): JsonObject | undefined {
  if (value === undefined || value === null) return undefined;
  return value instanceof Map ? value : wrong(`${where} is not an object`);
}

function list(value: Json | undefined, where: string): readonly Json[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? (value as readonly Json[]) : wrong(`${where} is not a list`);
}

function strings(value: Json | undefined, where: string): readonly string[] {
  return list(value, where).map((item) =>
    typeof item === 'string' ? item : wrong(`${where} has an entry that is not a string`),
  );
}

function optionalText(value: Json | undefined, where: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  return typeof value === 'string' ? value : wrong(`${where} is not a string`);
}

function optionalInteger(value: Json | undefined, where: string): bigint | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'bigint' || value < 0n || value >= 1n << 64n)
    return wrong(`${where} is not an unsigned integer`);
  return value;
}

function wrong(reason: string): never {
  throw new ProfileError(reason);
}
