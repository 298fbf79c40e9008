/* Prints every entry below a directory, one line each, for a test to compare: see src/list-tree.ts for the fields. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PART 65536

static void hex(const void *data, size_t length) {
  const unsigned char *bytes = data;
  if (length == 0) putchar('-');
  for (size_t i = 0; i < length; i++) printf("%02x", bytes[i]);
}

static uint64_t hash(const void *data, size_t length) {
  const unsigned char *bytes = data;
  uint64_t value = 0xcbf29ce484222325u;
  for (size_t i = 0; i < length; i++) value = (value ^ bytes[i]) * 0x100000001b3u;
  return value;
}

static void content(const char *path, off_t size) {
  static char part[PART];
  int fd = open(path, O_RDONLY);
  size_t length = size < PART ? size : PART;
  for (int end = 0; end < 2; end++) {
    ssize_t n = pread(fd, part, length, end ? size - (off_t)length : 0);
    printf("%s%016llx", end ? "/" : " ", n == (ssize_t)length ? (unsigned long long)hash(part, n) : 0ull);
  }
  if (fd >= 0) close(fd);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }

static void attributes(const char *path) {
  static char names[65536], value[65536];
  char *list[256];
  int count = 0;
  ssize_t length = llistxattr(path, names, sizeof names);
  for (char *name = names; length > 0 && name < names + length && count < 256; name += strlen(name) + 1) list[count++] = name;
  qsort(list, count, sizeof *list, by_text);
  putchar(' ');
  if (count == 0) putchar('-');
  for (int i = 0; i < count; i++) {
    ssize_t size = lgetxattr(path, list[i], value, sizeof value);
    printf("%s%s:%zd:%016llx", i ? "," : "", list[i], size, (unsigned long long)hash(value, size < 0 ? 0 : size));
  }
}

static void list(const char *path, size_t skip) {
  struct stat info;
  static char target[8192];
  if (lstat(path, &info)) return;
  hex(path + skip, strlen(path + skip));
  printf(" %o %u %u %llu %lld.%09ld %lu %llx %u:%u", info.st_mode, info.st_uid, info.st_gid,
         S_ISDIR(info.st_mode) ? 0ull : (unsigned long long)info.st_size, (long long)info.st_mtim.tv_sec,
         info.st_mtim.tv_nsec, (unsigned long)info.st_nlink, (unsigned long long)info.st_ino, major(info.st_rdev),
         minor(info.st_rdev));
  if (S_ISLNK(info.st_mode)) {
    ssize_t length = readlink(path, target, sizeof target);
    printf(" %016llx", (unsigned long long)hash(target, length < 0 ? 0 : length));
  } else if (S_ISREG(info.st_mode)) content(path, info.st_size);
  else printf(" -");
  attributes(path);
  putchar('\n');
  if (!S_ISDIR(info.st_mode)) return;
  DIR *dir = opendir(path);
  for (struct dirent *entry; dir && (entry = readdir(dir));) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    char *child = NULL;
    if (asprintf(&child, "%s/%s", path, entry->d_name) < 0) continue;
    list(child, skip);
    free(child);
  }
  if (dir) closedir(dir);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  printf("list-tree begins\n");
  list(argv[1], strlen(argv[1]));
  printf("list-tree ends\n");
  return 0;
}
