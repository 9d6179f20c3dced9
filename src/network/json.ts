/**
 * JSON as CNI moves it about: configurations and results go from one plugin to
 * the next unchanged (spec 1.1.0, section 3: other fields "should be passed
 * through unaltered"), so an integer that a double can't hold must survive.
 */

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/** What V8 has and the compiler's library does not yet declare: the source text of a number, and its way back. */
interface RawJson {
  rawJSON(text: string): Json;
}

/** The object in a JSON text; undefined when the text is no JSON or its top is no object. */
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

/** The value when it is a JSON object, not an array, not null, not a kept number. */
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

/** Own member of an object; never something of a prototype. */
export function member(object: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}
