/** The annotations of a pod that its runtime gets. */
import type { SpecHandler } from './input.ts';

/**
 * The handler's default annotations, overridden by those of the client that its configuration allows. An allowed
 * entry is a whole name, or a prefix followed by `*`; without entries nothing is passed on (S05, S06).
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
