/** One file of a hooks directory (oci-hooks(5), schema 1.0.0): a hook, its stages and its conditions. */
import { posix } from 'node:path';
import { nodeFileLimits } from '../../../bounds.ts';
import type { Fields } from '../../../documents/fields.ts';
import { parseDocument } from '../../../documents/fields.ts';
import { HOOK_KINDS } from '../../spec/types.ts';
import type { HookKind, OciHook } from '../../spec/types.ts';
import { Expression } from './expression.ts';

/** What a hook's conditions are compared with. */
export interface HookSubject {
  /** Annotations of the pod and the container. */
  readonly annotations: Readonly<Record<string, string>>;
  /** The program that the container runs. */
  readonly command: string;
  readonly hasBindMounts: boolean;
}

export interface HookFile {
  readonly hook: OciHook;
  readonly stages: readonly HookKind[];
  /** All stated conditions must hold, and at least one must be stated. Only called within `inMatchTime`. */
  readonly matches: (subject: HookSubject) => boolean;
}

type Condition = HookFile['matches'];

/**
 * Parses a hook file. Throws `outside` with file and field. An unknown field is refused, since it may be a condition.
 */
export function parseHookFile(path: string, bytes: Uint8Array): HookFile {
  const top = parseDocument(bytes, `OCI hook file ${path}`);
  top.refuseOthers(['version', 'hook', 'when', 'stages']);
  const version = top.text('version', '');
  if (version !== '1.0.0') top.refuse('version', `is ${JSON.stringify(version)}, not 1.0.0`);
  const hook = top.object('hook') ?? top.refuse('hook', 'is missing');
  const when = top.object('when') ?? top.refuse('when', 'is missing');
  const conditions = conditionsOf(when);
  return {
    hook: hookOf(hook),
    stages: stagesOf(top),
    matches: (subject) => conditions.length > 0 && conditions.every((holds) => holds(subject)),
  };
}

function hookOf(fields: Fields): OciHook {
  fields.refuseOthers(['path', 'args', 'env', 'timeout']);
  const path = fields.text('path', '', nodeFileLimits.pathBytes);
  if (!posix.isAbsolute(path)) fields.refuse('path', 'is not absolute');
  const timeout = fields.integer('timeout', 1, nodeFileLimits.hookSeconds);
  const [args, env] = [fields.texts('args'), fields.texts('env')];
  if (env.some((variable) => variable.indexOf('=') < 1))
    fields.refuse('env', 'has an entry that is not NAME=value');
  return {
    path,
    ...(args.length === 0 ? {} : { args }),
    ...(env.length === 0 ? {} : { env }),
    ...(timeout === undefined ? {} : { timeout }),
  };
}

function stagesOf(top: Fields): readonly HookKind[] {
  const stages = top.texts('stages');
  const isKind = (stage: string): stage is HookKind => (HOOK_KINDS as readonly string[]).includes(stage);
  if (stages.length === 0) top.refuse('stages', 'is empty');
  return stages.map((stage, at) =>
    isKind(stage) ? stage : top.refuse(`stages[${at}]`, `is not one of ${HOOK_KINDS.join(', ')}`),
  );
}

function conditionsOf(when: Fields): readonly Condition[] {
  when.refuseOthers(['always', 'annotations', 'commands', 'hasBindMounts']);
  const [always, hasBindMounts] = [when.flag('always'), when.flag('hasBindMounts')];
  const commands = when.texts('commands').map((text, at) => expression(when, `commands[${at}]`, text));
  const annotations = Object.entries(when.textMap('annotations')).map(([key, value]) => ({
    key: expression(when, `annotations key ${JSON.stringify(key)}`, key),
    value: expression(when, `annotations[${JSON.stringify(key)}]`, value),
  }));
  return [
    ...(always === undefined ? [] : [() => always]),
    // false never holds, as in CRI-O and Podman
    ...(hasBindMounts === undefined
      ? []
      : [(subject: HookSubject) => hasBindMounts && subject.hasBindMounts]),
    ...(commands.length === 0
      ? []
      : [({ command }: HookSubject) => commands.some((one) => one.matches(command))]),
    ...annotations.map(
      ({ key, value }): Condition =>
        (subject) =>
          Object.entries(subject.annotations).some(
            ([name, text]) => key.matches(name) && value.matches(text),
          ),
    ),
  ];
}

/**
 * POSIX extended expressions in the manual, Go's in CRI-O and Podman. Syntax that JavaScript does not accept (`(?i)`,
 * `\z`) is refused.
 */
function expression(fields: Fields, name: string, text: string): Expression {
  try {
    return new Expression(text, fields.nameOf(name));
  } catch {
    return fields.refuse(name, `${JSON.stringify(text)} is not a supported regular expression`);
  }
}
