/**
 * The checks that validation uses. Each throws `invalidRequest` with the path of the field in the contract
 * (`config.linux.security_context.run_as_group`), so that a client finds what to change. Pure.
 */
import { fail, FaultError, toFault } from '../../base/fault.ts';
import { requestLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { StringMap } from '../../ports/specs.ts';

/**
 * Runs the translation of a request and puts the RPC's name before the message of a refusal. A message with a prefix
 * for the kubelet (`withKubeletPrefix`, kind `outside`) stays as it is, since the prefix must come first.
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

/** Throws `invalidRequest`: `field: reason`. */
export function refuse(field: string, reason: string): never {
  return fail('invalidRequest', `${field}: ${reason}`, { subject: field });
}

/** Refuses a field that this version does not support, unless the field has its default. */
export function unset(field: string, isUnset: boolean, what: string): void {
  if (!isUnset) refuse(field, `${what} not supported by this runtime`);
}

/** Characters of a client's text that a message quotes: enough to recognise it. */
const QUOTED_CHARS = 100;

/** A client's text, quoted for a message. */
export function quoted(value: string): string {
  return JSON.stringify(value.length > QUOTED_CHARS ? `${value.slice(0, QUOTED_CHARS)}…` : value);
}

const encoder = new TextEncoder();

/** Length in UTF-8. The string is well-formed: protobuf's decoder refuses any other. */
export function utf8Bytes(value: string): number {
  return encoder.encode(value).length;
}

/** A text without NUL, which would end it for the kernel and every C program. */
export function text(field: string, value: string, bytesMax: number = requestLimits.textBytes): string {
  if (value.length > bytesMax || utf8Bytes(value) > bytesMax) refuse(field, `longer than ${bytesMax} bytes`);
  if (value.includes('\0')) refuse(field, 'contains a NUL');
  return value;
}

/** A text without control characters and line separators: it becomes part of lines in files, logs and environments. */
export function line(field: string, value: string, bytesMax: number = requestLimits.textBytes): string {
  text(field, value, bytesMax);
  // eslint-disable-next-line no-control-regex -- the expression finds control characters
  if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/u.test(value)) refuse(field, 'contains a control character');
  return value;
}

/** A text that is not empty. */
export function required(field: string, value: string): string {
  return value === '' ? refuse(field, 'is empty') : value;
}

/** A path without `..`, of which no component is longer than NAME_MAX. */
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

/** As `path`; it must be absolute. */
export function absolutePath(field: string, value: string): string {
  required(field, value);
  if (!value.startsWith('/')) refuse(field, `${quoted(value)} is not absolute`);
  return path(field, value);
}

/** The items of a list, each checked under its own field name such as `config.mounts[3]`. */
export function each<T, R>(
  field: string,
  items: readonly T[],
  check: (field: string, item: T) => R,
  most: number = requestLimits.listEntries,
): readonly R[] {
  if (items.length > most) refuse(field, `${items.length} entries, more than ${most}`);
  return items.map((item, at) => check(`${field}[${at}]`, item));
}

/** An int64 in the given range, as a number. */
export function intIn(field: string, value: bigint | number, least: number, most: number): number {
  if (value < least || value > most) refuse(field, `${value} is not in ${least} to ${most}`);
  return Number(value);
}

/** The name of an enum's number. A number that a newer contract added is refused: its meaning is unknown. */
export function word<W extends string>(field: string, value: number, words: Readonly<Record<number, W>>): W {
  return words[value] ?? refuse(field, `${value} is not a known value`);
}

/**
 * Labels or annotations, copied unchanged: CRI requires that they are returned exactly as they were sent. The copy has
 * no prototype, so that `__proto__` and `constructor` are ordinary keys (S61).
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
