/** Which boot of the machine this is. */
import { readFileSync } from 'node:fs';

/** No process outlives the boot. */
let thisBoot: string | undefined;

/** The id of this boot of the machine: identities of processes of another boot are meaningless. */
export function bootId(): string {
  return (thisBoot ??= readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim());
}
