/** CRI's Signal numbers (a list of its own, not the kernel's) and the names that the rest of troupe uses. Pure. */
import { Signal } from '../../gen/runtime/v1/api_pb.ts';
import { refuse } from './check.ts';

const NAMED: readonly (readonly [string, Signal])[] = Object.entries(Signal)
  .filter(([, number]) => number !== Signal.RUNTIME_DEFAULT)
  .map(([name, number]) => [name.replace('PLUS', '+').replace('MINUS', '-'), number]);
const NUMBER_OF: ReadonlyMap<string, Signal> = new Map(NAMED);
const NAME_OF: ReadonlyMap<number, string> = new Map(NAMED.map(([name, number]) => [number, name]));

/** Such as `SIGTERM` or `SIGRTMIN+3`; empty for RUNTIME_DEFAULT. */
export function signalName(field: string, signal: Signal): string {
  if (signal === Signal.RUNTIME_DEFAULT) return '';
  return NAME_OF.get(signal) ?? refuse(field, `${signal} is no value that this runtime knows`);
}

/** CRI's number; RUNTIME_DEFAULT for a name that is none. */
export function signalNumber(name: string): Signal {
  return NUMBER_OF.get(name) ?? Signal.RUNTIME_DEFAULT;
}
