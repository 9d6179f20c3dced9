/** The machine type of a checkpoint's processes, from CRIU's images (criu: include/magic.h, images/core.proto). */
import { closeSync, openSync, readSync } from 'node:fs';
import { O_CLOEXEC, O_RDONLY } from '../../../../host/ffi/constants.ts';
import { refuseArchive } from './members.ts';

/** An image begins with the common magic and that of its kind; each entry is its size and a protobuf message. */
const COMMON_MAGIC = 0x54564319;
const CORE_MAGIC = 0x55053847;
/** Two magics, one size, the tag of the message's first field, its value. */
const HEAD_BYTES = 14;
/** Field 1, a varint: `mtype` of CoreEntry. */
const MTYPE_TAG = 0x08;
const TYPES: Readonly<Record<string, number>> = {
  x64: 1,
  arm: 2,
  arm64: 3,
  ppc64: 4,
  s390x: 5,
  loong64: 7,
  riscv64: 8,
};

/** Whether it is a core image; there is one per thread. */
export function isCore(name: string): boolean {
  return /^core-\d+\.img$/u.test(name);
}

/** Throws `invalidRequest` when the core image is invalid or of a machine type other than `arch` (Node's name). */
export function demandMachine(path: string, arch: string): void {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const head = headOf(path);
  if (
    head.length < HEAD_BYTES ||
    head.readUInt32LE(0) !== COMMON_MAGIC ||
    head.readUInt32LE(4) !== CORE_MAGIC ||
    head[12] !== MTYPE_TAG
  )
    refuseArchive(`${name} is not a CRIU image`);
  const type = head[13];
  if (type !== TYPES[arch])
    refuseArchive(
      `${name} is of another machine type: ${type ?? 0} in CRIU's numbering, this machine is ${arch}`,
    );
}

function headOf(path: string): Buffer {
  const fd = openSync(path, O_RDONLY | O_CLOEXEC);
  try {
    const head = Buffer.alloc(HEAD_BYTES);
    return head.subarray(0, readSync(fd, head, 0, HEAD_BYTES, 0));
  } finally {
    closeSync(fd);
  }
}
