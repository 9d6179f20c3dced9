/** Which annotations of a pod its runtime is told, pure. */
import type { SpecHandler } from './input.ts';

/**
 * The handler's defaults, and over them what its configuration lets through of what the client gave. An entry of the list
 * is a whole name, or a beginning followed by `*`; without a list nothing passes (S05, S06).
 */
export function runtimeAnnotations(
  handler: SpecHandler,
  given: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const allowed = handler.allowedAnnotations ?? [];
  const passes = (name: string): boolean =>
    allowed.some((entry) => (entry.endsWith('*') ? name.startsWith(entry.slice(0, -1)) : name === entry));
  return {
    ...handler.defaultAnnotations,
    ...Object.fromEntries(Object.entries(given).filter(([name]) => passes(name))),
  };
}
