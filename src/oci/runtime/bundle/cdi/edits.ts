/** Parses `containerEdits` of CDI files (CDI specification 1.1.0, "OCI Edits"). */
import { posix } from 'node:path';
import { nodeFileLimits } from '../../../bounds.ts';
import type { Fields } from '../../../documents/fields.ts';
import type { StagedHook } from '../../spec/edits.ts';
import { HOOK_KINDS } from '../../spec/types.ts';
import type { HookKind, OciIntelRdt, OciMount } from '../../spec/types.ts';

export interface CdiDeviceNode {
  readonly path: string;
  readonly hostPath: string;
  /** Undefined: as the host's node. */
  readonly type: 'b' | 'c' | 'p' | undefined;
  readonly major: number | undefined;
  readonly minor: number | undefined;
  readonly fileMode: number | undefined;
  /** A subset of `rwm`. */
  readonly permissions: string;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

export interface CdiEdits {
  readonly env: readonly string[];
  readonly deviceNodes: readonly CdiDeviceNode[];
  readonly mounts: readonly OciMount[];
  readonly hooks: readonly StagedHook[];
  readonly additionalGids: readonly number[];
  readonly intelRdt: OciIntelRdt | undefined;
}

/**
 * Requires the version of the specification in which a used feature was introduced (its table "Released versions").
 */
export type Needs = (version: string, what: string) => void;

const IDS_MAX = 2 ** 32 - 2;
const KEYS = [
  'env',
  'deviceNodes',
  'mounts',
  'hooks',
  'additionalGids',
  'additionalGIDs',
  'intelRdt',
  'netDevices',
];

/** Parses one `containerEdits`; a missing one is empty. Throws `outside` with file and field. */
export function parseEdits(fields: Fields | undefined, needs: Needs): CdiEdits {
  if (fields === undefined)
    return { env: [], deviceNodes: [], mounts: [], hooks: [], additionalGids: [], intelRdt: undefined };
  fields.refuseOthers(KEYS);
  // a runtime that does not support them ignores them silently, and the workload would lack its interface
  if (fields.has('netDevices')) fields.refuse('netDevices', 'is not supported by this runtime');
  // the specification spells it both ways
  const gids = ['additionalGids', 'additionalGIDs'].flatMap((name) => fields.integers(name, 0, IDS_MAX));
  if (gids.length > 0) needs('0.7.0', 'additionalGids');
  return {
    env: variables(fields, 'env'),
    deviceNodes: fields.objects('deviceNodes', nodeFileLimits.entries).map((node) => deviceNode(node, needs)),
    mounts: fields.objects('mounts', nodeFileLimits.entries).map((mount) => mountOf(mount, needs)),
    hooks: fields.objects('hooks', nodeFileLimits.entries).map(hookOf),
    // 0 means unset (specification, additionalGids)
    additionalGids: gids.filter((gid) => gid !== 0),
    intelRdt: intelRdt(fields.object('intelRdt'), needs),
  };
}

/** Whether the edits are empty, which is an error for a device. */
export function isEmpty({
  env,
  deviceNodes,
  mounts,
  hooks,
  additionalGids,
  intelRdt: rdt,
}: CdiEdits): boolean {
  return (
    env.length + deviceNodes.length + mounts.length + hooks.length + additionalGids.length === 0 &&
    rdt === undefined
  );
}

function variables(fields: Fields, name: string): readonly string[] {
  const list = fields.texts(name);
  const at = list.findIndex((variable) => variable.indexOf('=') < 1);
  return at < 0 ? list : fields.refuse(`${name}[${at}]`, 'is not of the form NAME=value');
}

function absolute(fields: Fields, name: string): string {
  const path = fields.text(name, '', nodeFileLimits.pathBytes);
  if (!posix.isAbsolute(path) || path.split('/').includes('..'))
    fields.refuse(name, 'is not an absolute path without ..');
  const clean = posix.normalize(path);
  return clean.length > 1 && clean.endsWith('/') ? clean.slice(0, -1) : clean;
}

/** `u` is an unbuffered character device, which Linux does not distinguish (mknod(1)). */
const DEVICE_TYPES: Readonly<Record<string, CdiDeviceNode['type']>> = {
  '': undefined,
  b: 'b',
  c: 'c',
  u: 'c',
  p: 'p',
};

function deviceNode(fields: Fields, needs: Needs): CdiDeviceNode {
  fields.refuseOthers([
    'path',
    'hostPath',
    'type',
    'major',
    'minor',
    'fileMode',
    'permissions',
    'uid',
    'gid',
  ]);
  const path = absolute(fields, 'path');
  if (fields.text('hostPath', '') !== '') needs('0.5.0', 'deviceNodes.hostPath');
  const type = fields.text('type', '');
  if (!Object.hasOwn(DEVICE_TYPES, type)) fields.refuse('type', 'is not one of b, c, u and p');
  return {
    path,
    hostPath: fields.text('hostPath', '') === '' ? path : absolute(fields, 'hostPath'),
    type: DEVICE_TYPES[type],
    // 12 and 20 bits (the kernel's MAJOR and MINOR)
    major: fields.integer('major', 0, 2 ** 12 - 1),
    minor: fields.integer('minor', 0, 2 ** 20 - 1),
    // may include the file type, as in stat(2)
    fileMode: fields.integer('fileMode', 0, 0o177_777),
    permissions: permissions(fields),
    uid: fields.integer('uid', 0, IDS_MAX),
    gid: fields.integer('gid', 0, IDS_MAX),
  };
}

/** Unset means all permissions, `none` means no permission. */
function permissions(fields: Fields): string {
  const said = fields.text('permissions', '');
  if (said === '') return 'rwm';
  if (said === 'none') return '';
  if (!/^[rwm]+$/u.test(said)) fields.refuse('permissions', 'is not a subset of rwm');
  return ['r', 'w', 'm'].filter((letter) => said.includes(letter)).join('');
}

function mountOf(fields: Fields, needs: Needs): OciMount {
  fields.refuseOthers(['hostPath', 'containerPath', 'type', 'options']);
  const type = fields.text('type', '');
  if (type !== '') needs('0.4.0', 'mounts.type');
  const source = fields.text('hostPath', '', nodeFileLimits.pathBytes);
  const options = fields.texts('options');
  const isBind = options.some((option) => option === 'bind' || option === 'rbind');
  const destination = absolute(fields, 'containerPath');
  if (destination === '/') fields.refuse('containerPath', 'is the root directory');
  if (source === '') fields.refuse('hostPath', 'is empty');
  return {
    destination,
    source: isBind ? absolute(fields, 'hostPath') : source,
    type: type === '' ? 'bind' : type,
    options,
  };
}

function hookOf(fields: Fields): StagedHook {
  fields.refuseOthers(['hookName', 'path', 'args', 'env', 'timeout']);
  const stage = fields.text('hookName', '');
  if (!isStage(stage)) return fields.refuse('hookName', `is not one of ${HOOK_KINDS.join(', ')}`);
  const timeout = fields.integer('timeout', 1, nodeFileLimits.hookSeconds);
  const [args, env] = [fields.texts('args'), variables(fields, 'env')];
  return {
    stage,
    hook: {
      path: absolute(fields, 'path'),
      ...(args.length === 0 ? {} : { args }),
      ...(env.length === 0 ? {} : { env }),
      ...(timeout === undefined ? {} : { timeout }),
    },
  };
}

function isStage(name: string): name is HookKind {
  return (HOOK_KINDS as readonly string[]).includes(name);
}

function intelRdt(fields: Fields | undefined, needs: Needs): OciIntelRdt | undefined {
  if (fields === undefined) return undefined;
  fields.refuseOthers([
    'closID',
    'l3CacheSchema',
    'memBwSchema',
    'schemata',
    'enableMonitoring',
    'enableCMT',
    'enableMBM',
  ]);
  needs('0.7.0', 'intelRdt');
  if (fields.has('schemata') || fields.flag('enableMonitoring') === true)
    needs('1.1.0', 'intelRdt.schemata and enableMonitoring');
  const closId = fields.text('closID', '');
  // it becomes a directory's name; `/` is the root class
  if (closId !== '/' && (/[/\n]/u.test(closId) || closId === '.' || closId === '..'))
    fields.refuse('closID', 'is not the name of a class of service');
  const texts = Object.fromEntries(
    ['closID', 'l3CacheSchema', 'memBwSchema']
      .map((name) => [name, fields.text(name, '')])
      .filter(([, value]) => value !== ''),
  );
  const flags = Object.fromEntries(
    ['enableMonitoring', 'enableCMT', 'enableMBM']
      .map((name) => [name, fields.flag(name)])
      .filter(([, value]) => value === true),
  );
  const schemata = fields.texts('schemata');
  return { ...texts, ...flags, ...(schemata.length === 0 ? {} : { schemata }) };
}
