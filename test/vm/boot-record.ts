// The first sector of a disk, by which a kernel finds its partition.

/** The MBR's disk signature, by which the kernel finds its root: device names depend on which disk answers first. */
const DISK_SIGNATURE = 0x74726f75;

/** `root=` of the kernel's command line. */
export const rootPartition = `PARTUUID=${DISK_SIGNATURE.toString(16).padStart(8, '0')}-01`;

/** One Linux partition; enough for the kernel, which names partitions by the signature. */
export function masterBootRecord(firstSector: number, sectors: number): Buffer {
  const record = Buffer.alloc(512);
  record.writeUInt32LE(DISK_SIGNATURE, 440);
  record.writeUInt8(0x83, 446 + 4);
  record.writeUInt32LE(firstSector, 446 + 8);
  record.writeUInt32LE(sectors, 446 + 12);
  record.writeUInt16LE(0xaa55, 510);
  return record;
}
