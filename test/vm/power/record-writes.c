// Loaded into user-mode Linux (LD_PRELOAD): records, in their order, what the kernel does to one disk (writes with their
// bytes, flushes) and what the guest's job prints. A record is one append, so that all stand in one order whatever
// thread made them.
//
// User-mode Linux (6.1 to 7.3) never acts on a flush: its I/O thread runs the pieces of a request, and a flush has none.
// So a flush is seen where that thread reports finished requests to the kernel, by their addresses: one without pieces.
// At that time all earlier writes are done. Whatever else reports there has a request of another form, and is left alone.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, FLUSH = 2, OUTPUT = 3, OTHER = 4 };
struct record {
  uint32_t magic;
  uint32_t kind;
  uint64_t offset;
  uint64_t length;
};

// The kernel's own, arch/um/drivers/ubd_kern.c; `pieces` counts what follows it.
struct io_thread_req {
  void *request;
  int fds[2];
  unsigned long offsets[2];
  unsigned long long offset;
  int sector_size;
  int error;
  int pieces;
};

static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_fallocate)(int, int, off64_t, off64_t);
static int recording = -1;
static int output = -1;
static dev_t device;
static ino_t inode;

__attribute__((constructor)) static void begin(void) {
  real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  real_write = dlsym(RTLD_NEXT, "write");
  real_fallocate = dlsym(RTLD_NEXT, "fallocate64");
  const char *disk = getenv("TROUPE_RECORD_DISK");
  const char *file = getenv("TROUPE_RECORD_FILE");
  const char *fd = getenv("TROUPE_RECORD_OUTPUT");
  struct stat found;
  if (disk == NULL || file == NULL || fd == NULL || stat(disk, &found) != 0) return;
  device = found.st_dev;
  inode = found.st_ino;
  output = atoi(fd);
  recording = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static int is_disk(int fd) {
  struct stat found;
  return recording >= 0 && fstat(fd, &found) == 0 && found.st_ino == inode && found.st_dev == device;
}

// A record that is not whole would make all later ones unreadable: the guest ends with it.
static void append(uint32_t kind, uint64_t offset, const void *bytes, uint64_t length) {
  struct record record = {.magic = 0x70776372, .kind = kind, .offset = offset, .length = length};
  struct iovec parts[2] = {{&record, sizeof record}, {(void *)bytes, bytes == NULL ? 0 : length}};
  const ssize_t whole = (ssize_t)(sizeof record + parts[1].iov_len);
  ssize_t written;
  do written = writev(recording, parts, 2);
  while (written < 0 && errno == EINTR);
  if (written != whole) abort();
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  const ssize_t written = real_pwrite(fd, bytes, length, offset);
  const int error = errno;
  if (written > 0 && is_disk(fd)) append(WRITE, (uint64_t)offset, bytes, (uint64_t)written);
  errno = error;
  return written;
}

// Before the kernel hears of it, so that nothing that it does next stands before the flush.
static void append_flushes(const void *reported, size_t length) {
  for (size_t at = 0; at < length; at += sizeof(void *)) {
    const struct io_thread_req *done;
    memcpy(&done, (const char *)reported + at, sizeof done);
    if (done->pieces == 0 && is_disk(done->fds[0])) append(FLUSH, 0, NULL, 0);
  }
}

ssize_t write(int fd, const void *bytes, size_t length) {
  if (recording >= 0 && gettid() != getpid() && length > 0 && length % sizeof(void *) == 0)
    append_flushes(bytes, length);
  const ssize_t written = real_write(fd, bytes, length);
  const int error = errno;
  if (written > 0 && fd == output && recording >= 0) append(OUTPUT, 0, bytes, (uint64_t)written);
  errno = error;
  return written;
}

// Discards are switched off; one that comes all the same would make the image wrong, so that it is recorded as well.
int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
  if (is_disk(fd)) append(OTHER, (uint64_t)offset, NULL, (uint64_t)length);
  return real_fallocate(fd, mode, offset, length);
}
