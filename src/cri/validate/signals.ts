/** CRI's Signal numbers, which are not the kernel's, and the signal names that the rest of troupe uses. Pure. */
import { Signal } from '../../gen/runtime/v1/api_pb.ts';
import { refuse } from './check.ts';

const NAMED: readonly (readonly [string, Signal])[] = Object.entries(Signal)
  .filter(([, number]) => number !== Signal.RUNTIME_DEFAULT)
  .map(([name, number]) => [name.replace('PLUS', '+').replace('MINUS', '-'), number]);
const NUMBER_OF: ReadonlyMap<string, Signal> = new Map(NAMED);
const NAME_OF: ReadonlyMap<number, string> = new Map(NAMED.map(([name, number]) => [number, name]));

/** The name of a signal, such as `SIGTERM` or `SIGRTMIN+3`; empty for RUNTIME_DEFAULT. */
export function criSignalName(field: string, signal: Signal): string {
  if (signal === Signal.RUNTIME_DEFAULT) return '';
  return NAME_OF.get(signal) ?? refuse(field, `${signal} is not a known value`);
}

/** CRI's number of a signal; RUNTIME_DEFAULT for an unknown name. */
export function criSignal(name: string): Signal {
  return NUMBER_OF.get(name) ?? Signal.RUNTIME_DEFAULT;
}
