/**
 * What of an actor's context and events is recorded. An allow-list: only what the machines' guards and delays read, and
 * the names of pods and containers. No command, environment, label, annotation, mount, credential or message can get in
 * (S91, S92), because no entry copies an object: each field is named here.
 */
import { UndoError } from '../../actors/effects/undo.ts';
import { toFault } from '../../base/fault.ts';
import type { Fact, Facts } from './entries.ts';

type UnreadFields = Readonly<Record<string, unknown>>;

/** Fields of contexts and inputs that are flags, numbers, times, ids or words of ours. */
const SCALARS = [
  'id',
  'createdAtNs',
  'entry',
  'claimed',
  'removal',
  'unwanted',
  'committed',
  'killAtMonoMs',
  'askedAtMonoMs',
  'killingMs',
  'startAskedAtNs',
  'recordIsLate',
  'startInDoubt',
  'startUnrecorded',
  'unrecorded',
  'released',
  'graceMs',
  'startedAtNs',
  'reference',
] as const;

/** Lists of names of steps, or of ids of operations. */
const LISTS = ['begun', 'undoFailed', 'checkpoints'] as const;
const FAULTS = ['fault', 'startFault', 'releaseFault', 'updateFault'] as const;
const PROCESSES = ['init', 'pause'] as const;

/** The recorded facts of a context, or of the input of a machine, whose fields have the same names. */
export function contextFacts(context: object): Facts {
  const from = context as UnreadFields;
  const facts: Record<string, Fact | undefined> = {};
  for (const key of SCALARS) if (from[key] !== undefined) facts[key] = scalar(from[key]);
  for (const key of LISTS) if (Array.isArray(from[key])) facts[key] = from[key].map(String);
  for (const key of FAULTS) if (from[key] !== undefined) facts[key] = faultFacts(from[key]);
  for (const key of PROCESSES) if (from[key] !== undefined) facts[key] = processFacts(from[key]);
  if (from['exit'] !== undefined) facts['exit'] = exitFacts(from['exit']);
  if (from['interrupted'] !== undefined) facts['interrupted'] = operationFacts(from['interrupted']);
  if (Array.isArray(from['updates'])) facts['updates'] = from['updates'].map(operationFacts);
  if (from['spec'] !== undefined) facts['spec'] = specFacts(from['spec']);
  return facts;
}

/** The recorded facts of an event besides its type; undefined if it has no other fields that are recorded. */
export function payloadFacts(event: { readonly type: string }): Facts | undefined {
  const from = event as UnreadFields & { readonly type: string };
  const { type } = from;
  if (type === 'xstate.init') return isObject(from['input']) ? contextFacts(from['input']) : undefined;
  if (type.startsWith('xstate.done.')) return outputFacts(from['output']);
  if (type.startsWith('xstate.error.')) return faultFacts(from['error']);
  switch (type) {
    case 'container.start':
      return { nowNs: scalar(from['nowNs']), hasPlugins: scalar(from['hasPlugins']) };
    case 'container.stop':
      return {
        graceMs: scalar(from['graceMs']),
        nowMonoMs: scalar(from['nowMonoMs']),
        nowNs: scalar(from['nowNs']),
      };
    case 'container.remove':
      return { nowMonoMs: scalar(from['nowMonoMs']) };
    case 'container.update':
      return operationFacts(from['update']);
    case 'container.checkpoint':
    case 'container.thawed':
      return { opId: scalar(from['opId']) };
    case 'container.exited':
      return exitFacts(from['exit']);
    default:
      return undefined;
  }
}

function isObject(value: unknown): value is UnreadFields {
  return typeof value === 'object' && value !== null;
}

/** A flag, number or word; a bigint as its digits. Anything else, which would be an object, is left out. */
function scalar(value: unknown): Fact {
  if (typeof value === 'bigint') return value.toString();
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null;
}

/** Of a fault only what machines read: its kind, whether it may pass, and which steps were undone all the same. */
function faultFacts(error: unknown): Facts {
  // a fault of a context is plain data, that of an event was thrown
  const isFault = isObject(error) && 'kind' in error && !(error instanceof Error);
  const { kind, retryable } = isFault ? (error as UnreadFields) : toFault(error);
  const facts = { kind: scalar(kind), retryable: scalar(retryable) };
  return error instanceof UndoError ? { ...facts, undone: [...error.undone] } : facts;
}

function processFacts(identity: unknown): Facts {
  return isObject(identity) ? { pid: scalar(identity['pid']) } : {};
}

/** The message of an exit may quote the command. */
function exitFacts(exit: unknown): Facts {
  if (!isObject(exit)) return {};
  const { exitCode, finishedAtNs, oomKilled, reason, observedBy } = exit;
  return {
    exitCode: scalar(exitCode),
    finishedAtNs: scalar(finishedAtNs),
    oomKilled: scalar(oomKilled),
    reason: scalar(reason),
    observedBy: scalar(observedBy),
  };
}

/** An update: its limits are a pod's business, and no guard reads them. */
function operationFacts(update: unknown): Facts {
  return isObject(update) ? { opId: scalar(update['opId']) } : {};
}

/** The outputs that machines keep and read: processes and their start times. */
function outputFacts(output: unknown): Facts | undefined {
  if (!isObject(output)) return undefined;
  const { pid, startedAtNs, init } = output;
  if (pid === undefined && startedAtNs === undefined && init === undefined) return undefined;
  return {
    ...(pid === undefined ? {} : { pid: scalar(pid) }),
    ...(startedAtNs === undefined ? {} : { startedAtNs: scalar(startedAtNs) }),
    ...(init === undefined ? {} : { init: processFacts(init) }),
  };
}

/** Names, and the fields of a spec that decide which states an actor has. */
function specFacts(spec: unknown): Facts {
  if (!isObject(spec)) return {};
  const { key, namespaces, security, runtime, restore } = spec;
  const inSecurity = isObject(security) ? security['namespaces'] : undefined;
  const used = isObject(namespaces) ? namespaces : isObject(inSecurity) ? inSecurity : {};
  return {
    key: isObject(key) ? keyFacts(key) : {},
    network: scalar(used['network']),
    pid: scalar(used['pid']),
    needsPause: isObject(runtime) && runtime['needsPause'] === true,
    restores: restore !== undefined,
  };
}

function keyFacts({ name, namespace, attempt, sandboxId }: UnreadFields): Facts {
  return {
    name: scalar(name),
    attempt: scalar(attempt),
    ...(namespace === undefined ? {} : { namespace: scalar(namespace) }),
    ...(sandboxId === undefined ? {} : { sandboxId: scalar(sandboxId) }),
  };
}
