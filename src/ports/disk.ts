/**
 * The few operations that the journal is written on. Small on purpose: the
 * simulation tears and cuts below exactly these (a write is volatile until
 * `sync`; a create, rename or unlink is volatile until `syncDirectory`).
 * Paths are plain names in one directory that the disk was opened for.
 */
export interface DiskFile {
  /** Appends all bytes at the end. */
  append(bytes: Uint8Array): Promise<void>;
  /** fdatasync. After a rejection the file must not be trusted again (the kernel may have dropped the pages). */
  sync(): Promise<void>;
  /** Bytes that readers see. */
  size(): Promise<number>;
  close(): Promise<void>;
}

export interface DiskPort {
  /** File names, sorted. */
  list(): Promise<readonly string[]>;
  /** Whole content; undefined when there is no such file. */
  read(name: string): Promise<Uint8Array | undefined>;
  /** A new empty file opened for append; rejects when it is there already. */
  create(name: string): Promise<DiskFile>;
  /** Opens for append at `length` bytes, cutting what stands after it; rejects when there is no such file. */
  openAt(name: string, length: number): Promise<DiskFile>;
  /**
   * Writes what readers see at the head of the file once more, in place, so that the next sync of the file brings it
   * to the disk although an earlier one has dropped it. Takes no space where the file system writes in place.
   */
  writeAgain(name: string, bytes: Uint8Array): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Succeeds when the file is not there. */
  unlink(name: string): Promise<void>;
  syncDirectory(): Promise<void>;
}
