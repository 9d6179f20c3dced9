/**
 * JSON for CNI. Configurations and results pass from one plugin to the next unchanged (spec 1.1.0, section 3:
 * other fields "should be passed through unaltered"), so integers that a double can't represent must survive.
 */

export type CniJson = null | boolean | number | string | readonly CniJson[] | CniJsonObject;
export interface CniJsonObject {
  readonly [key: string]: CniJson;
}

/**
 * Part of V8's JSON API that the compiler's library does not declare yet: it keeps the source text of a
 * number.
 */
interface RawJson {
  rawJSON(text: string): CniJson;
}

/** The object in a JSON text; undefined when the text is not JSON or its top level is not an object. */
export function parseObject(text: string): CniJsonObject | undefined {
  let value: CniJson;
  try {
    value = JSON.parse(text, keepNumber as (key: string, value: unknown) => unknown) as CniJson;
  } catch {
    return undefined;
  }
  return asObject(value);
}

function keepNumber(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value) || context?.source === undefined) return value;
  return (JSON as object as RawJson).rawJSON(context.source);
}

/** The value when it is a JSON object: not an array, null or a number kept as text. */
export function asObject(value: CniJson | undefined): CniJsonObject | undefined {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return undefined;
  return 'rawJSON' in value && Object.getPrototypeOf(value) === null ? undefined : (value as CniJsonObject);
}

/** The value when it is an array. */
export function asArray(value: CniJson | undefined): readonly CniJson[] | undefined {
  return Array.isArray(value) ? (value as readonly CniJson[]) : undefined;
}

/** The value when it is a string. */
export function asString(value: CniJson | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** An object's own member; never one of its prototype. */
export function member(object: CniJsonObject, key: string): CniJson | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}
