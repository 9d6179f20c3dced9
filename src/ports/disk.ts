/**
 * The few file operations that the journal needs. The interface is small on purpose: the simulation injects
 * its power losses and torn writes below exactly these calls. A write is volatile until `sync`; a create,
 * rename or unlink is volatile until `syncDirectory`. Paths are plain names in the one directory that the
 * disk was opened for.
 */
export interface DiskFile {
  /** Appends all bytes at the end. */
  append(bytes: Uint8Array): Promise<void>;
  /** fdatasync. After a rejection the file must not be trusted again (the kernel may have dropped the pages). */
  sync(): Promise<void>;
  /** The file's size as readers see it, bytes. */
  size(): Promise<number>;
  close(): Promise<void>;
}

export interface DiskPort {
  /** File names, sorted. */
  list(): Promise<readonly string[]>;
  /** The whole content; undefined when the file does not exist. */
  read(name: string): Promise<Uint8Array | undefined>;
  /** Creates an empty file, opened for append; rejects when the file exists. */
  create(name: string): Promise<DiskFile>;
  /** Opens a file for append and cuts it to `length` bytes; rejects when the file does not exist. */
  openAt(name: string, length: number): Promise<DiskFile>;
  /**
   * Overwrites the head of the file, in place, with the bytes that readers see there already. The next sync
   * then writes them to the disk, although an earlier failed sync has dropped the dirty pages. Takes no space
   * where the file system writes in place.
   */
  writeAgain(name: string, bytes: Uint8Array): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Succeeds when the file does not exist. */
  unlink(name: string): Promise<void>;
  syncDirectory(): Promise<void>;
}
