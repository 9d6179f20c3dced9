/**
 * JSON for CNI. Configurations and results pass from one plugin to the next unchanged (spec 1.1.0, section 3:
 * other fields "should be passed through unaltered"), so integers that a double can't represent must survive.
 */

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/**
 * Part of V8's JSON API that the compiler's library does not declare yet: it keeps the source text of a
 * number.
 */
interface RawJson {
  rawJSON(text: string): Json;
}

/** The object in a JSON text; undefined when the text is not JSON or its top level is not an object. */
export function parseObject(text: string): JsonObject | undefined {
  let value: Json;
  try {
    value = JSON.parse(text, keepNumber as (key: string, value: unknown) => unknown) as Json;
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
export function asObject(value: Json | undefined): JsonObject | undefined {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return undefined;
  return 'rawJSON' in value && Object.getPrototypeOf(value) === null ? undefined : (value as JsonObject);
}

/** The value when it is an array. */
export function asArray(value: Json | undefined): readonly Json[] | undefined {
  return Array.isArray(value) ? (value as readonly Json[]) : undefined;
}

/** The value when it is a string. */
export function asString(value: Json | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** An object's own member; never one of its prototype. */
export function member(object: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}
