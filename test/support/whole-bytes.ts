/** Bytes in one piece, of what is moved to where it is wanted. */
import type { BufferedOutput } from '../../src/ports/runtime.ts';
import { MovedMessage } from '../../src/cri/call/moved-message.ts';

/** Uses up what is given, once. */
export function wholeBytes(bytes: Uint8Array | BufferedOutput | MovedMessage): Uint8Array {
  if (bytes instanceof Uint8Array) return bytes;
  const isMessage = bytes instanceof MovedMessage;
  const whole = new Uint8Array(isMessage ? bytes.length : bytes.size);
  if (isMessage) bytes.copy(whole, 0);
  else bytes.moveTo(whole, 0);
  return whole;
}
