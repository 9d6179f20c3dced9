/**
 * The words of which validation is made. Each throws `invalidRequest` with the field's path as the contract writes
 * it (`config.linux.security_context.run_as_group`), so that a client finds what to change. Pure.
 */
import { fail, FaultError, toFault } from '../../base/fault.ts';
import { requestLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { StringMap } from '../../ports/specs.ts';

/**
 * Runs the translation of a request; what it refuses begins with the RPC's name. What is marked for the kubelet
 * (`withKubeletPrefix`, of kind `outside`) must keep its mark at the start.
 */
export function translated<T>(rpc: string, translate: () => T): T {
  try {
    return translate();
  } catch (thrown) {
    throw thrown instanceof FaultError && thrown.fault.kind !== 'outside'
      ? new FaultError(toFault(thrown, rpc))
      : thrown;
  }
}

export function refuse(field: string, reason: string): never {
  return fail('invalidRequest', `${field}: ${reason}`, { subject: field });
}

/** Refuses a field that this version does not honour yet, unless it is at its default. */
export function unset(field: string, isUnset: boolean, what: string): void {
  if (!isUnset) refuse(field, `${what} not supported by this runtime`);
}

/** Most characters of a client's text that a message repeats: enough to recognise it. */
const QUOTED_CHARS = 100;

/** A client's text for a message. */
export function quoted(value: string): string {
  return JSON.stringify(value.length > QUOTED_CHARS ? `${value.slice(0, QUOTED_CHARS)}…` : value);
}

const encoder = new TextEncoder();

/** Length in UTF-8; the string is known to be well-formed, since protobuf's decoder refuses anything else. */
export function utf8Bytes(value: string): number {
  return encoder.encode(value).length;
}

/** A text without NUL, at which the kernel and every C program would cut it. */
export function text(field: string, value: string, bytesMax: number = requestLimits.textBytes): string {
  if (value.length > bytesMax || utf8Bytes(value) > bytesMax) refuse(field, `longer than ${bytesMax} bytes`);
  if (value.includes('\0')) refuse(field, 'contains a NUL');
  return value;
}

/** A text without control characters and line separators: it stands in lines of files, logs and environments. */
export function line(field: string, value: string, bytesMax: number = requestLimits.textBytes): string {
  text(field, value, bytesMax);
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/u.test(value)) refuse(field, 'contains a control character');
  return value;
}

export function required(field: string, value: string): string {
  return value === '' ? refuse(field, 'is empty') : value;
}

/** A path in which every component is a name: no `..`, none longer than the kernel takes. */
export function path(field: string, value: string): string {
  text(field, value, portLimits.pathBytes);
  for (const part of value.split('/')) {
    if (part === '..') refuse(field, `${quoted(value)} contains ..`);
    if (
      part.length > requestLimits.pathComponentBytes ||
      utf8Bytes(part) > requestLimits.pathComponentBytes
    ) {
      refuse(field, `a component is longer than ${requestLimits.pathComponentBytes} bytes`);
    }
  }
  return value;
}

export function absolutePath(field: string, value: string): string {
  required(field, value);
  if (!value.startsWith('/')) refuse(field, `${quoted(value)} is not absolute`);
  return path(field, value);
}

/** Every item, checked under its own name such as `config.mounts[3]`. */
export function each<T, R>(
  field: string,
  items: readonly T[],
  check: (field: string, item: T) => R,
  most: number = requestLimits.listEntries,
): readonly R[] {
  if (items.length > most) refuse(field, `${items.length} entries, more than ${most}`);
  return items.map((item, at) => check(`${field}[${at}]`, item));
}

/** An int64 as a number, in the given range. */
export function intIn(field: string, value: bigint | number, least: number, most: number): number {
  if (value < least || value > most) refuse(field, `${value} is not in ${least} to ${most}`);
  return Number(value);
}

/** The word for an enum's number; what a newer contract added is refused, since it can't be honoured. */
export function word<W extends string>(field: string, value: number, words: Readonly<Record<number, W>>): W {
  return words[value] ?? refuse(field, `${value} is no value that this runtime knows`);
}

/**
 * Labels or annotations as they came, to be handed back byte for byte (features.md A0). The copy has no prototype, so
 * that `__proto__` and `constructor` are keys like any other (S61).
 */
export function stringMap(field: string, map: { readonly [key: string]: string }): StringMap {
  const entries = Object.entries(map);
  if (entries.length > requestLimits.mapEntries)
    refuse(field, `${entries.length} entries, more than ${requestLimits.mapEntries}`);
  const copy = Object.create(null) as Record<string, string>;
  let bytes = 0;
  for (const [key, value] of entries) {
    text(`${field} key`, key, requestLimits.mapBytes);
    text(`${field}[${quoted(key)}]`, value, requestLimits.mapBytes);
    bytes += utf8Bytes(key) + utf8Bytes(value);
    copy[key] = value;
  }
  if (bytes > requestLimits.mapBytes)
    refuse(field, `${bytes} bytes together, more than ${requestLimits.mapBytes}`);
  return copy;
}
